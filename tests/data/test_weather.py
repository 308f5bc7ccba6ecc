import numpy as np
import pytest
from skimage.data import astronaut

from wxr_plugin.data.paired_weather_dataset import SyntheticOptions
from wxr_plugin.data.weather import fields, styles, synthesis
from wxr_plugin.data.weather.synthesis import KINDS, STYLES, WEATHERS, add_weather


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return astronaut()[40:200, 60:300].astype(np.float32) / 255


def weathered(photo, kind, severity, seed=0, **more):
    return add_weather(photo, kind, severity, np.random.default_rng(seed), **more)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_the_seed_decides(self, photo, kind, style):
        first = weathered(photo, kind, 0.6, seed=3, style=style)
        assert np.array_equal(first, weathered(photo, kind, 0.6, seed=3, style=style))
        assert not np.allclose(first, weathered(photo, kind, 0.6, seed=4, style=style), atol=0.02)

    def test_type_range_and_input_untouched(self, photo, kind, style):
        before = photo.copy()
        result = weathered(photo, kind, 1.0, style=style)
        assert result.dtype == np.float32 and result.shape == photo.shape
        assert result.min() >= 0 and result.max() <= 1
        assert np.array_equal(photo, before)

    def test_severity_zero_changes_nothing(self, photo, kind, style):
        assert np.abs(weathered(photo, kind, 0.0, style=style) - photo).max() < 1e-5

    def test_severity_is_monotone(self, photo, kind, style):
        steps = np.linspace(0, 1, 6)
        away = [
            np.mean(
                [np.abs(weathered(photo, kind, s, i, style=style) - photo).mean() for i in range(8)]
            )
            for s in steps
        ]
        assert np.all(np.diff(away) > 0.005), away

    @pytest.mark.parametrize("shape", [(1, 1), (1, 7), (33, 2), (37, 51)])
    def test_any_size(self, kind, style, shape):
        image = np.random.default_rng(0).random((*shape, 3), dtype=np.float32)
        result = weathered(image, kind, 0.8, style=style)
        assert result.shape == image.shape and np.isfinite(result).all()


def test_flipped_views_are_taken(photo):
    flipped = photo[::-1, ::-1]
    assert np.array_equal(weathered(flipped, "rain", 0.5), weathered(flipped.copy(), "rain", 0.5))


def test_clear_is_a_copy(photo):
    result = weathered(photo, "clear", 0.9)
    assert np.array_equal(result, photo) and result is not photo
    assert WEATHERS == ("clear", "rain", "haze", "snow")


def test_haze_follows_the_depth(photo):
    depth = np.zeros(photo.shape[:2])
    depth[:, 120:] = 8.0
    change = np.abs(weathered(photo, "haze", 0.8, depth=depth) - photo).mean(axis=(0, 2))
    assert change[120:].mean() > 1.3 * change[:120].mean()


def test_haze_obeys_the_scattering_model():
    """On two even greys at one depth, I1 - I2 = t (J1 - J2): the veil scales contrasts alike."""
    image = np.full((40, 40, 3), 0.2, np.float32)
    image[:, 20:] = 0.6
    hazy = [
        weathered(image, "haze", s, seed=5, depth=np.zeros((40, 40)), style="default")
        for s in (0.0, 0.4, 0.8)
    ]
    contrast = [float((picture[20, 30] - picture[20, 10]).mean()) for picture in hazy]
    assert contrast[0] == pytest.approx(0.4, abs=1e-5)
    assert 0 < contrast[2] < contrast[1] < contrast[0]
    assert hazy[2].mean() > hazy[0].mean()


def test_rain_falls_along_its_direction(photo):
    """Neighbours along the direction of fall differ less than neighbours across it."""
    layer = fields.Layer(width=(1, 1), length=(20, 20), cover=(0.2, 0.2), opacity=(1, 1))
    upright = fields.particle_layer((128, 128), layer, 0.0, 1.0, np.random.default_rng(0))
    level = fields.particle_layer((128, 128), layer, 90.0, 1.0, np.random.default_rng(0))
    down, across = (np.abs(np.diff(upright, axis=axis)).mean() for axis in (0, 1))
    assert down < 0.4 * across
    down, across = (np.abs(np.diff(level, axis=axis)).mean() for axis in (0, 1))
    assert across < 0.4 * down


def test_particles_cover_the_requested_area():
    layer = fields.Layer(width=(2, 2), length=(1, 1), cover=(0.1, 0.1), opacity=(1, 1))
    maps = [
        fields.particle_layer((200, 200), layer, 20.0, s, np.random.default_rng(1))
        for s in (0, 0.5, 1)
    ]
    assert maps[0].max() == 0
    assert 0.02 < maps[1].mean() < maps[2].mean() < 0.15
    assert np.all(maps[2] >= maps[1] - 1e-6)


def test_styles_differ(photo):
    """The shifted style keeps less contrast; its haze is warmer, its rain and snow are bluer."""
    for kind, sign in (("haze", 1), ("rain", -1), ("snow", -1)):
        warmth, correlation = {}, {}
        for style in ("default", "shifted"):
            pictures = [weathered(photo, kind, 0.8, seed, style=style) for seed in range(8)]
            stack = np.stack(pictures)
            warmth[style] = float((stack[..., 0] - stack[..., 2]).mean())
            correlation[style] = np.mean(
                [np.corrcoef(picture.ravel(), photo.ravel())[0, 1] for picture in pictures]
            )
        assert sign * (warmth["shifted"] - warmth["default"]) > 0.02, kind
        assert correlation["shifted"] < correlation["default"] - 0.03, kind


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": np.zeros((4, 4, 3), np.uint8)}, TypeError, "float32 RGB array .* not uint8"),
        ({"image": [[0.5]]}, TypeError, "not list"),
        ({"image": np.zeros((4, 4), np.float32)}, ValueError, r"shape \(H, W, 3\)"),
        (
            {"kind": "hail"},
            ValueError,
            "unknown weather 'hail': take one of clear, rain, haze, snow",
        ),
        ({"severity": 1.5}, ValueError, "severity"),
        ({"style": "odd"}, ValueError, "default, shifted, realistic, dusk, published"),
        ({"depth": np.zeros((3, 4))}, ValueError, "depth"),
        ({"depth": np.full((4, 4), np.nan)}, ValueError, "finite"),
    ],
)
def test_wrong_arguments(change, error, message):
    arguments = {"image": np.zeros((4, 4, 3), np.float32), "kind": "rain", "severity": 0.5} | change
    with pytest.raises(error, match=message):
        add_weather(rng=np.random.default_rng(0), **arguments)


@pytest.mark.parametrize(
    ("style", "kind", "mean"),
    [
        ("default", "rain", 0.6659),
        ("default", "haze", 0.7401),
        ("default", "snow", 0.6661),
        ("shifted", "rain", 0.5236),
        ("shifted", "haze", 0.7188),
        ("shifted", "snow", 0.5878),
    ],
)
def test_the_pictures_of_the_first_two_styles_never_change(photo, style, kind, mean):
    """Published figures depend on them; newer styles must not change them."""
    assert weathered(photo, kind, 0.6, seed=11, style=style).mean() == pytest.approx(mean, abs=2e-4)


class TestRealistic:
    """The style `realistic` next to `default`."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_keeps_more_of_the_colours(self, photo, kind):
        colours = {
            style: np.mean(
                [
                    _colourfulness(weathered(photo, kind, 0.6, seed, style=style))
                    for seed in range(16)
                ]
            )
            for style in ("default", "realistic")
        }
        assert 1.3 * colours["default"] < colours["realistic"] < _colourfulness(photo)

    def test_the_veil_is_not_patchy(self):
        """On an even grey scene the haze of `realistic` has no blobs: it is a plane."""
        grey = np.full((96, 96, 3), 0.3, np.float32)
        bumps = {}
        for style in ("default", "realistic"):
            hazy = [
                weathered(grey, "haze", 0.8, seed, style=style).mean(axis=2) for seed in range(12)
            ]
            bumps[style] = np.mean([np.abs(_curvature(image)).mean() for image in hazy])
        assert bumps["realistic"] < 0.6 * bumps["default"], bumps

    def test_variants_are_drawn_by_their_shares(self):
        variants = styles.STYLES["realistic"]["haze"]
        rng = np.random.default_rng(0)
        drawn = [variants.index(synthesis._variant(variants, rng)) for _ in range(2000)]
        shares = np.bincount(drawn, minlength=len(variants)) / 2000
        expected = np.array([variant.share for variant in variants])
        np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.04)


class TestPublished:
    """The style `published`."""

    @pytest.mark.parametrize("kind", ["rain", "snow"])
    def test_no_veil_and_no_dimming(self, photo, kind):
        """Particles only add light: no pixel becomes darker, and gaps between them stay."""
        for seed in range(10):
            change = weathered(photo, kind, 0.4, seed, style="published") - photo
            assert np.mean(change < -0.02) < 0.05
            assert np.mean(np.abs(change) < 0.05) > 0.2

    def test_light_rain_and_rain_that_covers_most_of_the_picture(self, photo):
        change = [
            np.mean(weathered(photo, "rain", 0.9, seed, style="published") - photo > 0.05)
            for seed in range(30)
        ]
        assert min(change) < 0.3 and max(change) > 0.7

    def test_noise_streaks_cover_the_share_they_are_given(self):
        """At severity 1 a share `cover` of a normal distribution is above the threshold."""
        normal = np.sort(np.random.default_rng(1).standard_normal(200_000))
        for cover in (0.1, 0.5, 0.9):
            threshold = normal[int((1 - cover) * len(normal))]
            expected = 0.5 * np.clip((normal - threshold) / fields.NOISE_RANGE, 0, 1).mean()
            mask = self.noise_streaks(cover, severity=1.0)
            assert mask.mean() == pytest.approx(expected, rel=0.1)
            assert mask.max() <= 0.5

    def test_noise_streaks_follow_the_direction_of_fall(self):
        """Neighbours along the fall are alike, neighbours across are not."""
        mask = self.noise_streaks(0.8, severity=0.8)
        along, across = (np.abs(np.diff(mask, axis=axis)).mean() for axis in (0, 1))
        assert across > 3 * along

    @staticmethod
    def noise_streaks(cover: float, severity: float) -> np.ndarray:
        layer = styles.Layer(
            width=(1, 1), length=(20, 20), cover=(cover,) * 2, opacity=(0.5, 0.5), shape="noise"
        )
        rng = np.random.default_rng(0)
        return fields.particle_layer((200, 300), layer, 0.0, severity, rng)

    def test_haze_is_neutral(self, photo):
        grey = np.full_like(photo, 0.4)
        hazy = weathered(grey, "haze", 0.8, style="published")
        assert np.ptp(hazy, axis=2).max() < 0.06


class TestDusk:
    """The style `dusk`."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_veil_is_bluish_or_yellow_and_dark(self, photo, kind):
        grey = np.full_like(photo, 0.5)
        pictures = [weathered(grey, kind, 0.8, seed, style="dusk") for seed in range(40)]
        warmth = [float(np.median(image[..., 0] - image[..., 2])) for image in pictures]
        assert min(warmth) < -0.05 and max(warmth) > 0.05
        levels = {
            style: np.mean(
                [weathered(grey, kind, 0.8, seed, style=style).mean() for seed in range(40)]
            )
            for style in ("dusk", "realistic")
        }
        assert levels["dusk"] < levels["realistic"] - 0.05


def _colourfulness(image):
    """Return the median difference of a pixel's largest and smallest channel."""
    return float(np.median(image.max(axis=2) - image.min(axis=2)))


def _curvature(image):
    """Return second differences of a map at the scale of 24 px."""
    small = image[::24, ::24]
    return np.concatenate([np.diff(small, 2, axis=0).ravel(), np.diff(small, 2, axis=1).ravel()])


class TestAddStyle:
    def test_an_added_style_is_drawn_and_known_to_option_files(self, photo, monkeypatch):
        monkeypatch.setitem(styles.STYLES, "own", styles.STYLES["shifted"])
        styles.add_style("own", styles.STYLES["shifted"])
        assert np.array_equal(
            weathered(photo, "snow", 0.6, style="own"),
            weathered(photo, "snow", 0.6, style="shifted"),
        )
        assert SyntheticOptions.read({"style": "own"}).style == "own"

    def test_a_new_name_is_added(self, monkeypatch):
        monkeypatch.setattr(styles, "STYLES", dict(styles.STYLES))
        styles.add_style("own", styles.STYLES["shifted"])
        assert styles.STYLES["own"] == styles.STYLES["shifted"]

    def test_variants_may_be_added(self, photo, monkeypatch):
        own = {kind: (style,) for kind, style in styles.STYLES["default"].items()}
        monkeypatch.setattr(styles, "STYLES", styles.STYLES)
        monkeypatch.delitem(styles.STYLES, "own", raising=False)
        monkeypatch.setitem(styles.STYLES, "own", own)
        assert weathered(photo, "rain", 0.5, style="own").shape == photo.shape

    def test_refused(self):
        with pytest.raises(ValueError, match="each of rain, haze and snow"):
            styles.add_style("own", {"rain": styles.STYLES["default"]["rain"]})
        with pytest.raises(ValueError, match="another style 'default'"):
            styles.add_style("default", styles.STYLES["shifted"])
        with pytest.raises(ValueError, match="unknown style 'own'"):
            SyntheticOptions.read({"style": "own"})
