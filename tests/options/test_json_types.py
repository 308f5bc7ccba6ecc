"""JSON schema of the types of option fields."""

from typing import Annotated, Any, Literal

import msgspec
import pytest

from wxr_plugin import schema
from wxr_plugin.options.checks.json_types import of_type
from wxr_plugin.schema import Block

Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Weather = Literal["snow", "clear"]


class Inner(Block):
    depth: int = 2
    """How deep."""


INNER = {
    "type": "object",
    "properties": {"depth": {"type": "integer", "description": "How deep.", "default": 2}},
    "required": [],
    "additionalProperties": False,
}
SHARE = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Any, {}),
        (bool, {"type": "boolean"}),
        (float | None, {"anyOf": [{"type": "number"}, {"type": "null"}]}),
        (Share | None, {"anyOf": [SHARE, {"type": "null"}]}),
        (
            schema.AtLeastOne | Literal["auto"],
            {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["auto"]}]},
        ),
        (schema.NeededInTraining[schema.AtLeastOne], {"type": "integer", "minimum": 1}),
        (Weather, {"enum": ["clear", "snow"]}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (
            Annotated[tuple[Weather, ...], msgspec.Meta(min_length=1)],
            {"type": "array", "items": {"enum": ["clear", "snow"]}, "minItems": 1},
        ),
        (
            tuple[Share, int],
            {
                "type": "array",
                "items": [SHARE, {"type": "integer"}],
                "additionalItems": False,
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (dict[str, Any], {"type": "object"}),
        (
            dict[Weather, float],
            {
                "type": "object",
                "propertyNames": {"enum": ["clear", "snow"]},
                "additionalProperties": {"type": "number"},
            },
        ),
        (Annotated[str, msgspec.Meta(min_length=1)], {"type": "string", "minLength": 1}),
        (Inner, INNER),
        (Inner | None, {"anyOf": [INNER, {"type": "null"}]}),
        (list[Inner], {"type": "array", "items": INNER}),
        (schema.Loss, {"$ref": "#/definitions/loss"}),
        (
            dict[str, schema.Loss],
            {"type": "object", "additionalProperties": {"$ref": "#/definitions/loss"}},
        ),
        (schema.Loss | None, {"anyOf": [{"$ref": "#/definitions/loss"}, {"type": "null"}]}),
    ],
)
def test_a_types_schema(hint, expected):
    assert of_type(hint) == expected


def test_an_unknown_type_is_refused():
    with pytest.raises(TypeError, match="no JSON schema; add it"):
        of_type(complex)
