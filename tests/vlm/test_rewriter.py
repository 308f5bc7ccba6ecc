"""Rewriting descriptions for clear weather."""

import re

import pytest
import small_chat_models
import small_models
import torch
from safetensors.torch import load_file, save_file

from wxr_plugin.errors import WxrError
from wxr_plugin.vlm.rewriter import build_rewriter
from wxr_plugin.vlm.rule_rewriter import OPENING, clear_weather
from wxr_plugin.vlm.weather_words import weather_words

NOUNS = """rain; heavy rain; light rain; pouring rain; torrential rain; a steady rain; freezing
rain; rainfall; a rainstorm; raindrops; raindrops on the lens; water droplets; droplets of water;
rain drops; a drizzle; a light drizzle; a shower; rain showers; a sudden shower; a downpour; a heavy
downpour; a cloudburst; a deluge; a storm; a thunderstorm; a heavy storm; a hailstorm; a sandstorm;
a dust storm; lightning; thunder and lightning; a monsoon; a typhoon; a hurricane; precipitation;
fog; dense fog; thick fog; a blanket of fog; a thick layer of fog; patches of fog; fog and mist;
morning fog; low fog; haze; a light haze; atmospheric haze; a hazy mist; haze and smog; mist; a thin
mist; a veil of mist; smog; dense smog; murk; gloom; snow; fresh snow; deep snow; falling snow;
heavy snow; a layer of snow; a thick blanket of snow; piles of snow; snowfall; heavy snowfall;
snowflakes; large flakes of snow; snow flurries; flurries; a snowstorm; a snow storm; snowdrifts; a
blizzard; a raging blizzard; a whiteout; sleet; hail; hailstones; rain and sleet; wind and rain;
rain, sleet and snow; slush; wet slush; frost; a coat of frost; black ice; puddles; puddles of
water; large puddles; rain streaks; streaks of rain; low visibility; poor visibility; reduced
visibility; limited visibility; bad weather; adverse weather; inclement weather; severe weather
conditions; poor weather conditions; wintry weather; stormy weather; rainy conditions; foggy
conditions; dark clouds; storm clouds; heavy gray clouds; cloud cover; blur; a bit of rain; some
light snow; a lot of fog; what appears to be heavy fog; the first snow; rainwater"""
ADJECTIVES = """rainy; very rainy; drizzly; wet; soaking wet; damp; soaked; drenched; soggy;
waterlogged; moist; stormy; foggy; very foggy; slightly foggy; hazy; somewhat hazy; misty; smoggy;
smoky; murky; overcast; cloudy; partly cloudy; gloomy; dreary; dismal; bleak; snowy; extremely
snowy; snow-covered; snow covered; snowbound; snow-capped; snow-dusted; rain-soaked; rain-slicked;
rain-drenched; fog-shrouded; fog-filled; mist-covered; mist-veiled; frost-covered; ice-covered;
wintry; frosty; icy; slushy; sleety; blurry; blurred; indistinct; slippery; slick; wet and slippery;
wet, rainy; cold and rainy; foggy and gloomy; rainy, foggy and dark; rainy and overcast; overcast
and gray; low-visibility; fogged up; raining; snowing; drizzling; inclement; misty, snow-covered;
hazy and overcast"""
DONE = """covered in snow; covered with deep snow; completely covered in snow; blanketed in fresh
snow; dusted with snow; shrouded in mist; shrouded in thick fog; enveloped in fog; engulfed by haze;
veiled in mist; obscured by fog; partially obscured by the haze; hidden by the mist; soaked by the
rain; drenched in rain; wet from the rain; slick with rain; surrounded by dense fog; filled with
fog; coated in ice and frost; blurred by rain; faded by the haze; lost in the fog; speckled with
raindrops; streaked with rain; buried under snow; affected by the storm"""
STATEMENTS = """it is raining; it is raining heavily; it's snowing; it is snowing lightly; it has
been raining; it is foggy; it is a rainy day; it looks like a foggy day; it seems to be raining; the
weather is rainy; the weather is overcast and gloomy; the weather appears to be foggy; the weather
conditions are poor; visibility is low; the visibility is very poor; visibility is reduced by fog;
there is heavy rain; there is a lot of fog; there are dark clouds; rain is falling; rain is pouring
down; snow is falling from the sky; snowflakes are falling; fog is rolling in; a storm is
approaching; the atmosphere is hazy; the scene is foggy; the day is gloomy and wet; the conditions
are slippery; it is misty and cold; the rain is so heavy that it is hard to see; it is difficult to
see clearly because of the fog; there is no rain or snow"""

WITH_NOUN = [
    ("A red car drives through {} past a church.", "red car drives past church"),
    ("A farmer and two horses stand in the field in {}.", "farmer two horses stand field"),
    ("{} covers the hills behind the barn.", "hills barn"),
    ("There is {} near the wooden fence.", "wooden fence"),
    ("The photo shows {} and a bicycle.", "bicycle"),
    ("The photo shows a bicycle and {}.", "bicycle"),
    ("A boat is at the pier, with {} over the lake.", "boat pier lake"),
    (
        "Because of {}, people carry umbrellas and wear raincoats.",
        "people carry umbrellas wear raincoats",
    ),
    ("A dog runs across the yard while {} falls on the roof.", "dog runs yard roof"),
    ("Despite {} the market is crowded.", "market crowded"),
]
WITH_ADJECTIVE = [
    ("A bus drives down a {} street with shops.", "bus drives street shops"),
    ("The {} road leads to an old bridge.", "road leads old bridge"),
    ("The street is {}, and a cat sits on the wall.", "street cat sits wall"),
    (
        "On a {} morning, a woman with an umbrella waits for the tram.",
        "morning woman umbrella waits tram",
    ),
    ("The sky looks {} above the harbor.", "sky harbor"),
    ("The image depicts a {} day with children playing football.", "day children playing football"),
]
WITH_DONE = [
    ("The trees are {} and a deer stands between them.", "trees deer stands"),
    ("A mountain {} rises behind the village.", "mountain rises village"),
    ("Cars {} are parked along the street, next to a cafe.", "cars parked street cafe"),
]
WITH_STATEMENT = [
    ("A man rides a bicycle, and {}.", "man rides bicycle"),
    ("{}, but a train passes the station.", "train passes station"),
    ("Two people sit on a bench. {}. A dog sleeps.", "two people sit bench dog sleeps"),
    ("{}, making it hard to see the lighthouse.", "lighthouse"),
]
CASES = [
    (template.format(expression), content)
    for expressions, templates in (
        (NOUNS, WITH_NOUN),
        (ADJECTIVES, WITH_ADJECTIVE),
        (DONE, WITH_DONE),
        (STATEMENTS, WITH_STATEMENT),
    )
    for expression in (part.strip() for part in expressions.replace("\n", " ").split(";"))
    for template, content in templates
]

# Stems, independent of the package's list; only words of OBJECTS may have them afterwards.
STEMS = re.compile(
    r"\b\w*(?:rain|drizzl|shower|downpour|cloudburst|deluge|storm|thunder|lightning|monsoon|"
    r"typhoon|hurricane|precipitat|droplet|drops\b|puddle|streak|fog|haz[eyi]|mist|smog|smoky|"
    r"murk|overcast|cloudy|gloom|dreary|dismal|bleak|snow|flake|flurr|blizzard|whiteout|sleet|"
    r"hail|slush|frost|icy|wet|damp|soak|drench|soggy|waterlog|moist|visibility|blur|slipper|"
    r"slick|inclement|wintry|obscur|shroud|indistinct|dark clouds|gray clouds|cloud cover)\w*",
    re.IGNORECASE,
)
OBJECTS = {
    "bicycle",
    "raincoat",
    "raincoats",
    "train",
    "trains",
    "snowman",
    "snowboarder",
    "snowplow",
}

CAPTIONS = [
    (
        "The image captures a busy city street during a heavy rainstorm. Several cars, including a "
        "red taxi, "
        "are driving with their headlights on, and pedestrians are crossing the road with "
        "umbrellas.",
        "busy city street cars red taxi driving headlights on pedestrians crossing road umbrellas",
    ),
    (
        "A lone tree stands in a field covered in thick fog, with a wooden fence in the "
        "foreground.",
        "lone tree stands field wooden fence foreground",
    ),
    (
        "The photo shows a snowy mountain village at dusk, with wooden cabins, pine trees and a "
        "church tower."
        " Snow blankets the rooftops.",
        "mountain village dusk wooden cabins pine trees church tower rooftops",
    ),
    (
        "The scene is hazy, with the skyline of tall skyscrapers barely visible in the distance "
        "and a bridge "
        "over the river.",
        "skyline tall skyscrapers visible distance bridge river",
    ),
    (
        "A group of people are walking down a wet sidewalk, holding umbrellas to protect "
        "themselves from the rain.",
        "group people walking sidewalk holding umbrellas protect themselves",
    ),
    (
        "Raindrops are visible on the window of the car, and the view of the traffic outside is "
        "blurred.",
        "window car view traffic outside",
    ),
    (
        "The road ahead is covered with snow, and a snowplow is clearing the way for a line of "
        "trucks.",
        "road ahead snowplow clearing way line trucks",
    ),
    (
        "A woman wearing a blue raincoat is standing next to a bicycle on a rainy afternoon, while "
        "a dog sits"
        " beside her.",
        "woman wearing blue raincoat standing bicycle afternoon dog sits",
    ),
    (
        "The weather appears to be foggy, which makes it difficult to see the boats in the harbor.",
        "boats harbor",
    ),
    (
        "In the image, a train is traveling through the mist near a small station with a green "
        "clock.",
        "train traveling small station green clock",
    ),
    (
        "The atmosphere is gloomy and the sky is filled with dark clouds. A farmer drives a "
        "tractor across the field.",
        "sky farmer drives tractor field",
    ),
    (
        "There are puddles on the ground reflecting the neon lights of the shops.",
        "ground reflecting neon lights shops",
    ),
    (
        "A cyclist rides along a muddy path in the drizzle, wearing a helmet and a backpack.",
        "cyclist rides along muddy path wearing helmet backpack",
    ),
    (
        "The picture features a lighthouse on a cliff, with waves crashing against the rocks under "
        "a stormy sky.",
        "lighthouse cliff waves crashing rocks sky",
    ),
    (
        "Heavy snowfall reduces visibility on the highway, and several vehicles are stuck behind a "
        "bus.",
        "highway vehicles stuck bus",
    ),
    (
        "The old stone bridge is shrouded in mist, with ducks swimming in the river below.",
        "old stone bridge ducks swimming river",
    ),
    (
        "A football match is being played on a waterlogged pitch as rain pours down on the "
        "players.",
        "football match played pitch players",
    ),
    (
        "It is a cold and snowy day, and children are sledding down a hill near a red house.",
        "children sledding hill red house",
    ),
    (
        "Two horses are grazing in a misty meadow surrounded by trees.",
        "two horses grazing meadow surrounded trees",
    ),
    (
        "The streets are slick with rain and a man with a black umbrella waits at the traffic "
        "light.",
        "streets man black umbrella waits traffic light",
    ),
    (
        "The scene is a parking lot filled with cars covered in snow, with a person brushing snow "
        "off a windshield.",
        "parking lot filled cars person brushing windshield",
    ),
    (
        "Due to the dense smog, the tower and the temple in the background are hardly visible.",
        "tower temple background visible",
    ),
    (
        "A yellow bus is driving down the street in a blizzard, and its headlights are on.",
        "yellow bus driving street headlights on",
    ),
    (
        "The image is of poor quality because of the rain streaks, but a white cat can be seen on "
        "the roof.",
        "white cat seen roof",
    ),
    (
        "A harbor with fishing boats is seen through a light haze on an overcast morning.",
        "harbor fishing boats morning",
    ),
    (
        "Snowflakes drift down on the statue in the park while a couple takes photos.",
        "statue park couple takes photos",
    ),
    (
        "An empty road winds through a frosty forest, with icy branches hanging over it.",
        "empty road winds forest branches hanging",
    ),
    (
        "Despite the bad weather, the market is crowded with vendors selling fruit and flowers.",
        "market crowded vendors selling fruit flowers",
    ),
    (
        "Sleet and hail hit the tents while campers run to a wooden shelter.",
        "tents campers run wooden shelter",
    ),
    (
        "The windshield is wet, making it hard to see the truck in front of the car.",
        "windshield truck front car",
    ),
    (
        "A soccer player slides on the wet grass, splashing water from puddles.",
        "soccer player slides grass splashing water",
    ),
    (
        "The rain has stopped, leaving the pavement wet and shiny, and a girl in rain boots jumps "
        "over a puddle.",
        "pavement shiny girl boots jumps",
    ),
]


def left_over(text: str) -> list[str]:
    words = [match.group() for match in STEMS.finditer(text)]
    return [word for word in words if word.lower() not in OBJECTS]


def lost(text: str, content: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return [word for word in content.split() if word not in words]


def test_the_list_is_broad():
    expressions = [
        part for group in (NOUNS, ADJECTIVES, DONE, STATEMENTS) for part in group.split(";")
    ]
    assert len(set(expressions)) >= 200 and len(CAPTIONS) >= 30


@pytest.mark.parametrize("group", range(10))
def test_no_weather_is_left_and_everything_else_stays(group):
    texts, contents = zip(*CASES[group::10])
    rewritten = [clear_weather(text) for text in texts]
    wrong = [
        (text, new) for text, new in zip(texts, rewritten) if left_over(new) or weather_words(new)
    ]
    wrong += [
        (text, new, lost(new, content))
        for text, new, content in zip(texts, rewritten, contents)
        if lost(new, content)
    ]
    assert not wrong
    assert all(new.startswith(OPENING) and new.endswith((".", "!")) for new in rewritten)


@pytest.mark.parametrize(("caption", "content"), CAPTIONS)
def test_captions_keep_their_objects_actions_and_places(caption, content):
    new = clear_weather(caption)
    assert not left_over(new) and not weather_words(new) and not lost(new, content), new
    assert new.startswith(OPENING)


def test_no_text_has_broken_punctuation_or_loose_ends():
    broken = re.compile(
        r"  | [.,;]|,[.,]|\.\.|\b(?:and|or|the|a|an|with|of|very) ?[.,]|\ba (?=[aeio])|\ban "
        r"(?![aeiouh])"
    )
    texts = [clear_weather(text) for text, _ in (*CASES, *CAPTIONS)]
    assert [text for text in texts if broken.search(text)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A scene with heavy rain.", "The weather is clear."),
        ("A scene with light snow.", "The weather is clear."),
        ("The weather is clear.", "The weather is clear."),
        ("It is raining heavily and visibility is poor.", "The weather is clear."),
        ("A dog runs across the beach.", "The weather is clear. A dog runs across the beach."),
        ("a wet rainy street", "The weather is clear. A street."),
        (
            "The road is wet and an old man waits.",
            "The weather is clear. The road is clear and an old man waits.",
        ),
        ("A man drives on a snowy night.", "The weather is clear. A man drives at night."),
        ("An overcast sky over a town.", "The weather is clear. A sky over a town."),
        ("A foggy orchard.", "The weather is clear. An orchard."),
        ("The trees are covered in snow.", "The weather is clear. The trees are clearly visible."),
        (
            "Thick fog hides the old castle.",
            "The weather is clear. The scene shows the old castle.",
        ),
        ("It is sunny and a dog plays.", "It is sunny and a dog plays."),
        ("Two people wear rain jackets.", "The weather is clear. Two people wear jackets."),
    ],
)
def test_what_becomes_of(text, expected):
    assert clear_weather(text) == expected


def test_a_rewritten_text_stays_as_it_is():
    texts = [clear_weather(text) for text, _ in CASES[::17]]
    assert [clear_weather(text) for text in texts] == texts


def test_names_of_objects_are_no_weather():
    assert (
        weather_words("A snowboarder with an umbrella, a raincoat and a rainbow over the train")
        == []
    )
    assert weather_words("Heavy rain on a wet road") == ["rain", "wet"]


def test_the_rules_are_the_default_and_have_a_provenance():
    rewriter = build_rewriter()
    assert rewriter.rewrite(["A foggy pier.", " "]) == ["The weather is clear. A pier.", None]
    assert rewriter.provenance["type"] == "RuleRewriter"
    changed = build_rewriter({"opening": "The weather looks good."})
    assert changed.rewrite(["A foggy pier."]) == ["The weather looks good. A pier."]
    assert changed.provenance != rewriter.provenance
    with pytest.raises(
        WxrError, match="unknown rewriter type 'RulesRewriter'; did you mean RuleRewriter"
    ):
        build_rewriter({"type": "RulesRewriter"})


# Models that rewrite in this process


@pytest.mark.parametrize("builder", [small_chat_models.llama, small_models.llava])
def test_a_models_answer_is_its_greedy_continuation(builder, tmp_path):
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

    folder, prompt = builder(tmp_path / "model"), "Describe the weather"
    auto = (
        AutoModelForCausalLM if builder is small_chat_models.llama else AutoModelForImageTextToText
    )
    tokenizer, model = AutoTokenizer.from_pretrained(folder), auto.from_pretrained(folder).eval()
    expected = []
    for text in ("fog", "the visibility of snow and rain"):
        given = tokenizer(f"USER: {prompt}\n\n{text} ASSISTANT:", return_tensors="pt")["input_ids"]
        tokens = given
        for _ in range(6):
            tokens = torch.cat([tokens, model(input_ids=tokens).logits[:, -1:].argmax(-1)], 1)
            if tokens[0, -1] == 2:
                break
        expected.append(
            tokenizer.decode(tokens[0, given.shape[1] :], skip_special_tokens=True).strip() or None
        )
    options = {
        "type": "TransformersRewriter",
        "model": str(folder),
        "prompt": prompt,
        "max_tokens": 6,
        "clean": False,
    }
    for batch_size in (1, 2):
        rewriter = build_rewriter({**options, "batch_size": batch_size})
        assert rewriter.rewrite(["fog", "the visibility of snow and rain"]) == expected
    assert rewriter.rewrite([]) == []


def test_the_rules_remove_weather_words_that_a_model_leaves(tmp_path):
    folder = small_chat_models.llama(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    tokenizer = small_models.word_tokenizer()
    # With swapped rows the model writes "rain" where it would write "and".
    swapped = tokenizer.convert_tokens_to_ids(["and", "rain"])
    weights["lm_head.weight"][swapped] = weights["lm_head.weight"][swapped[::-1]]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    options = {
        "type": "TransformersRewriter",
        "model": str(folder),
        "max_tokens": 12,
        "prompt": "Describe the weather",
    }
    texts = ["fog", "snow and rain", "Rate snow"]
    raw = build_rewriter({**options, "clean": False}).rewrite(texts)
    assert all("rain" in weather_words(text) for text in raw)
    assert build_rewriter(options).rewrite(texts) == [clear_weather(text) for text in raw]


def test_a_rewriters_provenance_changes_with_all_that_a_rewrite_depends_on(tmp_path):
    folder = small_chat_models.llama(tmp_path / "model")
    options = {"type": "TransformersRewriter", "model": str(folder)}
    first = build_rewriter(options).provenance
    assert first == build_rewriter({**options, "batch_size": 3}).provenance
    for change in (
        {"prompt": "Say it again"},
        {"clean": False},
        {"max_tokens": 5},
        {"dtype": "bfloat16"},
    ):
        assert build_rewriter({**options, **change}).provenance != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "TransformersRewriter"}, "missing required field `model`"),
        ({"type": "TransformersRewriter", "model": "no-such"}, "unknown language model 'no-such'"),
        ({"type": "RuleRewriter", "openning": "x"}, "unknown field `openning`"),
    ],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(WxrError, match=message) as caught:
        build_rewriter(options)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_language_model_is_refused(tmp_path):
    with pytest.raises(WxrError, match=r"cannot load .* as a language model"):
        build_rewriter({"type": "TransformersRewriter", "model": str(tmp_path)})
