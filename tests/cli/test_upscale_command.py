"""``dfrestore upscale``: what users of upscalers complain of, and the behaviour that answers each.

"tasks N" in a docstring is a line of the complaints that were collected from public issue threads, with its source.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Answer, pixels
from larger_and_filled import array_of, names, objects, plain, sideways, size_of
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from dfrestore import photo
from dfrestore.methods import load_network
from dfrestore.photo.enlarged import enlarged
from dfrestore.weights import save_checkpoint

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]


@pytest.fixture(scope="module")
def tinting(tmp_path_factory: pytest.TempPathFactory, times4: Path) -> Path:
    """A model that repeats each pixel four times four times, and shifts red one way and blue the other."""
    network, spec = load_network(times4)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state["G.output.weight"].unflatten(0, (3, 16))[:] = torch.tensor([-0.1, 0, 0.1])[:, None, None, None, None]
    path = tmp_path_factory.mktemp("model") / "tinting.safetensors"
    save_checkpoint(path, state, spec)
    return path


# -- how large


@pytest.mark.parametrize(
    ("scale", "size"), [("1.5", (36, 24)), ("200%", (48, 32)), ("3", (72, 48)), ("x4", (96, 64)), ("16", (384, 256))]
)
def test_any_factor_can_be_asked_for(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, scale: str, size: tuple[int, int]
) -> None:
    """tasks 1, Real-ESRGAN#14, #522, upscayl#144: only x4."""
    answer = upscale(make_photo(tmp_path / "a.png"), "--scale", scale)
    assert (answer.code, answer.paths) == (0, [str(tmp_path / "a_upscale.png")])
    assert size_of(tmp_path / "a_upscale.png") == size
    assert f"24x16 -> {size[0]}x{size[1]}; " in answer.err.splitlines()[0]


@pytest.mark.parametrize("factor", [2, 4])
def test_without_a_size_the_factor_is_read_from_the_model(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, times2: Path, times4: Path, factor: int
) -> None:
    """tasks 15, upscayl#1050, #1142: weights of x2 and x3 gave garbage."""
    source = make_photo(tmp_path / "a.png")
    assert upscale(source, model={2: times2, 4: times4}[factor]).code == 0
    result = array_of(tmp_path / "a_upscale.png")
    assert np.array_equal(result, array_of(source).repeat(factor, axis=0).repeat(factor, axis=1))


def test_what_a_model_of_another_factor_makes_has_the_size_that_was_asked_for(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, times2: Path
) -> None:
    """tasks 1 and 15: the model's own factor is run, then resized."""
    source = make_photo(tmp_path / "a.png", size=(30, 20))
    assert upscale(source, "--size", "100x50!", model=times2).code == 0
    assert size_of(tmp_path / "a_upscale.png") == (100, 50)


def test_min_size_leaves_what_is_large_enough_byte_for_byte(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    """tasks 2, upscayl#616: at least 4K for a mixed folder."""
    small = make_photo(tmp_path / "in" / "small.png", size=(20, 12))
    large = [make_photo(tmp_path / "in" / name, size=(40, 30)) for name in ("exact.jpg", "sub/larger.png")]
    answer = upscale(tmp_path / "in", "-o", tmp_path / "out", "--min-size", "40x30")
    assert answer.code == 0
    assert size_of(tmp_path / "out" / "small.png") == (50, 30)
    for path in large:
        assert (tmp_path / "out" / path.relative_to(tmp_path / "in")).read_bytes() == path.read_bytes()
        assert f"dfrestore: {path}: large enough as it is; not enlarged" in answer.err.splitlines()
    assert f"{small}: large enough" not in answer.err


def test_a_dry_run_says_what_is_large_enough(upscale: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    """tasks 2 and 5."""
    source = make_photo(tmp_path / "a.png")
    answer = upscale(source, "--min-size", "24x16", "--dry-run")
    assert answer.code == 0
    assert f"would write {source} as it is (24x16, large enough) to {tmp_path / 'a_upscale.png'}" in answer.err
    assert names(tmp_path) == ["a.png"]


def test_what_is_large_enough_is_written_anew_in_another_format(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png")
    assert upscale(source, "-o", tmp_path / "b.tif", "--min-size", "8x8").code == 0
    with Image.open(tmp_path / "b.tif") as image:
        assert image.format == "TIFF"
        assert np.array_equal(image, array_of(source))


@pytest.mark.parametrize("size", [(24, 16), (16, 24)])
@pytest.mark.parametrize(("option", "side"), [("--long-edge", max), ("--short-edge", min)])
def test_an_edge_is_met_however_the_photo_was_held(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, size: tuple[int, int], option: str, side: Callable[..., int]
) -> None:
    """tasks 3, upscayl#801, #1027: width only, and portraits came out larger."""
    source = make_photo(tmp_path / "a.png", size=size)
    assert upscale(source, option, 60).code == 0
    made = size_of(tmp_path / "a_upscale.png")
    assert side(made) == 60
    assert made[0] * size[1] == made[1] * size[0]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("60x60", (60, 40)),  # fits inside
        ("60x60^", (90, 60)),  # fills
        ("60x60!", (60, 60)),  # is exact
        ("48x", (48, 32)),
        ("x48", (72, 48)),
        ("20x60>", (24, 16)),  # only ever enlarges
        ("60x20!>", (60, 20)),
    ],
)
def test_aspect_is_kept_unless_the_size_is_exact(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, text: str, size: tuple[int, int]
) -> None:
    """tasks 4, upscayl#794: stretched. The signs are ImageMagick's."""
    assert upscale(make_photo(tmp_path / "a.png"), "--size", text).code == 0
    assert size_of(tmp_path / "a_upscale.png") == size


def test_a_dry_run_tells_every_size_before_and_after(upscale: Run, tmp_path: Path, photo_folder: Path) -> None:
    """tasks 5, upscayl#433, #145: no target size shown, or a wrong one."""
    Image.new("RGB", (16, 24)).save(photo_folder / "portrait.png")
    answer = upscale(photo_folder, "-o", tmp_path / "out", "--long-edge", 48, "--dry-run")
    assert answer.code == 0
    assert f"would restore {photo_folder / 'a.png'} (24x16 -> 48x32, " in answer.err
    assert f"would restore {photo_folder / 'portrait.png'} (16x24 -> 32x48, " in answer.err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_in_json_has_the_size_of_the_result(upscale: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    """tasks 5; what it says is what is made."""
    source = make_photo(tmp_path / "a.png", size=(23, 17))
    planned, totals = objects(upscale(source, "--scale", 1.7, "--dry-run", "--json"))
    assert (planned["status"], totals["totals"]["planned"]) == ("planned", 1)
    done, _ = objects(upscale(source, "--scale", 1.7, "--json"))
    assert tuple(planned["size"]) == tuple(done["size"]) == size_of(tmp_path / "a_upscale.png") == (39, 29)


@pytest.mark.parametrize("scale", ["22", "1601%"])
def test_a_factor_beyond_the_limit_is_wrong_usage_and_names_size(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, scale: str
) -> None:
    """tasks 6, Real-ESRGAN#835: "5 MB" by a factor of 22."""
    answer = upscale(make_photo(tmp_path / "a.png"), "--scale", scale)
    assert (answer.code, answer.out) == (2, "")
    assert f"'{scale}' is not a factor from 1 to 16; for a certain size there is --size" in answer.err


def test_a_size_beyond_the_factors_limit_is_that_photos_failure(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    """tasks 6."""
    make_photo(tmp_path / "in" / "tiny.png", size=(4, 4))
    make_photo(tmp_path / "in" / "wide.png", size=(24, 4))
    answer = upscale(tmp_path / "in", "-o", tmp_path / "out", "--long-edge", 72)
    assert (answer.code, answer.paths) == (1, [str(tmp_path / "out" / "wide.png")])
    assert "tiny.png: --long-edge 72 is 18 times its size; at most 16 times, 64x64 here" in answer.err


def test_a_result_that_is_smaller_is_said(upscale: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    """tasks 3 and 4: never smaller without a word."""
    answer = upscale(make_photo(tmp_path / "a.png"), "--size", "12x12")
    assert answer.code == 0
    assert size_of(tmp_path / "a_upscale.png") == (12, 8)
    said = "the result is smaller than the photo (24x16 to 12x8); --size '12x12>' only ever enlarges"
    assert f"dfrestore: {tmp_path / 'a.png'}: {said}" in answer.err.splitlines()


def test_scale_1_restores_without_enlarging(upscale: Run, tmp_path: Path, make_photo: MakePhoto, tinting: Path) -> None:
    """tasks 16, upscayl#275, DiffIR#11: restore without enlarging."""
    source = make_photo(tmp_path / "a.png")
    assert upscale(source, "--scale", 1, model=tinting).code == 0
    result = array_of(tmp_path / "a_upscale.png")
    assert result.shape == array_of(source).shape
    assert result[..., 0].mean() > array_of(source)[..., 0].mean() + 20


# -- alpha, grey, depth


def soft_disc(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A bright disc with a soft edge; black lies hidden where it is transparent."""
    drawn = Image.new("L", (size[0] * 8, size[1] * 8), 0)
    ImageDraw.Draw(drawn).ellipse((40, 40, size[0] * 8 - 40, size[1] * 8 - 40), fill=255)
    alpha = np.asarray(drawn.resize(size, Image.Resampling.BOX))
    colour = np.where(alpha[..., None] > 0, np.uint8([250, 240, 200]), np.uint8(0))
    return np.dstack([colour, alpha])


def test_alpha_is_enlarged_smoothly(upscale: Run, tmp_path: Path) -> None:
    """tasks 7, upscayl#881, #1181: jagged alpha. As smooth as a plain resize, where pixels repeated have steps."""
    disc = soft_disc((24, 20))
    Image.fromarray(disc).save(tmp_path / "a.png")
    assert upscale(tmp_path / "a.png").code == 0
    alpha = array_of(tmp_path / "a_upscale.png")[..., 3].astype(int)
    resized = enlarged(photo.read(tmp_path / "a.png"), 80, 96)
    assert np.array_equal(alpha, resized.alpha)
    assert np.abs(np.diff(alpha, axis=0)).max() < np.abs(np.diff(disc[..., 3].astype(int), axis=0)).max() / 2


def test_a_binary_alpha_stays_binary(upscale: Run, tmp_path: Path) -> None:
    """tasks 7."""
    disc = soft_disc((24, 20))
    disc[..., 3] = (disc[..., 3] > 127) * np.uint8(255)
    Image.fromarray(disc).save(tmp_path / "a.png")
    assert upscale(tmp_path / "a.png", "--scale", 3).code == 0
    assert set(np.unique(array_of(tmp_path / "a_upscale.png")[..., 3])) == {0, 255}


@pytest.mark.parametrize("options", [["--scale", 4], ["--scale", 3], ["--scale", 1.5], ["--strength", 0.5]])
def test_no_dark_rim_appears_around_what_is_opaque(upscale: Run, tmp_path: Path, options: list[object]) -> None:
    """tasks 8, chaiNNer PR#2127, clarity-upscaler#67: the black that lies hidden must not shine through."""
    Image.fromarray(soft_disc((24, 20))).save(tmp_path / "a.png")
    assert upscale(tmp_path / "a.png", *options).code == 0
    result = array_of(tmp_path / "a_upscale.png")
    seen = result[result[..., 3] > 0][:, :3].astype(int)
    assert np.abs(seen - [250, 240, 200]).max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_stays_grey(upscale: Run, tmp_path: Path, tinting: Path, mode: str) -> None:
    """tasks 13, Real-ESRGAN#558: grey turned blue."""
    Image.fromarray(pixels()).convert(mode).save(tmp_path / "a.png")
    assert upscale(tmp_path / "a.png", model=tinting).code == 0
    with Image.open(tmp_path / "a_upscale.png") as image:
        assert (image.mode, image.size) == ("L" if mode == "1" else mode, (96, 64))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_stays_16_bit(upscale: Run, tmp_path: Path, mode: str, ending: str) -> None:
    """tasks 26, IOPaint#489 and twins: what belongs to a photo is kept."""
    channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
    samples = np.random.default_rng(0).random((16, 24, channels)).astype(np.float32)
    colour = samples[..., :3] if channels > 1 else samples.repeat(3, axis=2)
    alpha = (samples[..., 3] * 65535).astype(np.uint16) if channels == 4 else None
    taken = photo.Photo(colour, alpha, photo.Origin(bits=16, grey=channels == 1))
    photo.write(tmp_path / f"a.{ending}", taken, colour)
    assert upscale(tmp_path / f"a.{ending}", "--scale", 2).code == 0
    result = photo.read(tmp_path / f"a_upscale.{ending}")
    assert (result.size, result.origin.bits, result.origin.grey) == ((32, 48), 16, channels == 1)
    assert (result.alpha is None) == (alpha is None)
    levels = np.unique(np.rint(result.rgb * 65535))
    assert len(levels) > 256


# -- what belongs to the photo


def test_profile_metadata_and_resolution_are_kept(upscale: Run, tmp_path: Path) -> None:
    """tasks 26, IOPaint#546, #202: EXIF lost."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.fromarray(pixels()).save(tmp_path / "a.jpg", exif=exif, icc_profile=profile, dpi=(300, 300), quality=96)
    assert upscale(tmp_path / "a.jpg").code == 0
    with Image.open(tmp_path / "a_upscale.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (96, 64))
        assert image.info["icc_profile"] == profile
        assert image.info["dpi"] == (300, 300)
        assert image.getexif()[0x010F] == "Maker"


def test_sizes_are_those_of_the_upright_photo(upscale: Run, tmp_path: Path) -> None:
    """tasks 3, upscayl#1027: a JPEG of a camera held on its side is 16x24 to the one who looks at it."""
    source = sideways(tmp_path / "a.jpg")
    answer = upscale(source, "--size", "32x")
    assert "16x24 -> 32x48; " in answer.err
    assert size_of(tmp_path / "a_upscale.jpg") == (32, 48)
    upright = plain(source, 48, 32).astype(int)
    assert np.abs(array_of(tmp_path / "a_upscale.jpg") - upright).mean() < 5 < np.abs(upright[::-1] - upright).mean()


def test_size_tags_say_the_new_size(upscale: Run, tmp_path: Path) -> None:
    """tasks 26: viewers that believe the tags show the old size otherwise."""
    assert upscale(sideways(tmp_path / "a.jpg"), "--scale", 3).code == 0
    with Image.open(tmp_path / "a_upscale.jpg") as image:
        exif = image.getexif()
        tags = exif.get_ifd(0x8769)
        assert (tags[0xA002], tags[0xA003]) == image.size == (48, 72)
        assert (exif[0x010F], exif[0x0112]) == ("Maker", 1)


def test_metadata_can_be_left_out(upscale: Run, tmp_path: Path) -> None:
    assert upscale(sideways(tmp_path / "a.jpg"), "--strip-metadata").code == 0
    with Image.open(tmp_path / "a_upscale.jpg") as image:
        assert 0x010F not in image.getexif()
        assert image.size == (64, 96)


@pytest.mark.parametrize(("quality", "said"), [(70, True), (84, True), (85, False), (95, False)])
def test_a_jpeg_whose_blocks_would_be_enlarged_gets_one_line(
    upscale: Run, tmp_path: Path, quality: int, said: bool
) -> None:
    """tasks 17, DiffIR#4, #38, #48: worse than others on old, compressed photos."""
    Image.fromarray(pixels()).save(tmp_path / "a.jpg", quality=quality)
    answer = upscale(tmp_path / "a.jpg", "--scale", 2)
    assert answer.code == 0
    line = f"dfrestore: {tmp_path / 'a.jpg'}: JPEG of quality {quality}, whose blocks are enlarged too"
    assert any(found == line for found in answer.err.splitlines()) is said


# -- how much of the model


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_strength_blends_with_the_plain_resize(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, strength: float
) -> None:
    """tasks 9 and 10, Real-ESRGAN#29, #459, upscayl#742, stable-diffusion-webui#14: too strong; blend with bicubic."""
    source = make_photo(tmp_path / "a.png")
    assert upscale(source, "-o", tmp_path / "b.png", "--strength", strength).code == 0
    resized = plain(source, 64, 96).astype(float)
    full = array_of(source).repeat(4, axis=0).repeat(4, axis=1)
    wanted = resized + strength * (full - resized)
    assert np.abs(array_of(tmp_path / "b.png") - wanted).max() <= 1


def test_keep_color_takes_a_tint_away(upscale: Run, tmp_path: Path, tinting: Path) -> None:
    """tasks 12, Tencent/Real-SR#6, chaiNNer PR#59, ESRGAN#42: colours shift."""
    Image.new("RGB", (64, 64), (120, 120, 120)).save(tmp_path / "a.png")
    tints = []
    for name, more in (("b.png", []), ("c.png", ["--keep-color"])):
        assert upscale(tmp_path / "a.png", "-o", tmp_path / name, *more, model=tinting).code == 0
        tints.append(np.ptp(array_of(tmp_path / name).mean(axis=(0, 1))))  # what differs between channels is colour
    assert tints[0] > 100
    assert tints[1] < 1


@pytest.mark.parametrize("size", [(112, 48), (118, 77)])
def test_tiles_leave_no_mark_at_the_larger_scale(upscale: Run, tmp_path: Path, size: tuple[int, int]) -> None:
    """tasks 18, OSEDiff#32, VOSR#4: a ramp stays a ramp; a seam would be a step in it."""
    ramp = np.linspace(0, 255, size[0] * size[1]).astype(np.uint8).reshape(size[1], size[0])
    Image.fromarray(ramp).save(tmp_path / "a.png")
    assert upscale(tmp_path / "a.png", "-o", tmp_path / "whole.png", "--tile", 0).code == 0
    answer = upscale(tmp_path / "a.png", "-o", tmp_path / "tiles.png", "--tile", 64)
    assert "tiles of 64" in answer.err
    assert np.array_equal(array_of(tmp_path / "tiles.png"), array_of(tmp_path / "whole.png"))


# Not tested here, for it is looked at and not computed: texture drawn on what is out of focus (11), distorted faces and
# text (14) and softness beside other models on old photos (17) belong into the model's card.
