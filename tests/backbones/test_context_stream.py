"""I3D run along a video gives what one run over the whole video gives, wherever it is cut into chunks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bfloat16 import needs_bfloat16
from lively import lively_i3d
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model

from stvr.backbones import ENDPOINTS, load_backbone
from stvr.backbones.context import ContextStream, Window, reach_of, seen_by, windows_to
from stvr.backbones.fold import fold
from stvr.backbones.i3d import I3D, same_padding, scale
from stvr.backbones.weights.load import save_weights
from stvr.structures import ClipSpec

NUM_CLIPS = 25  # 200 frames
SIDE = 64
DEEP = ("Mixed_4c", "Mixed_4f", "Mixed_5c")


@pytest.fixture(scope="module")
def model() -> I3D:
    return lively_i3d(num_classes=11)


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lively.safetensors"
    save_weights(model, path)
    return path


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return torch.randint(0, 256, (NUM_CLIPS, 8, SIDE, SIDE, 3), dtype=torch.uint8)


@torch.inference_mode()
def whole_video(model: I3D, frames: Tensor) -> dict[str, Tensor]:
    """Every endpoint's steps (T, row, column, channel) of the plain network, which knows nothing of streams."""
    x, found = scale(frames.flatten(0, 1)[None]).contiguous(), {}
    for name, layer in model.named_children():
        x = layer(x)
        found["Logits" if name == "logits" else name] = x[0].movedim(0, -1)
    return found


@pytest.fixture(scope="module")
def whole(model, frames) -> dict[str, Tensor]:
    return whole_video(model, frames)


def run(stream: ContextStream, frames: Tensor, size: int) -> dict[str, Tensor]:
    """All clips' features (N, time, row, column, channel) by endpoint, from chunks of `size` clips."""
    parts = frames.split(size)
    found = [stream.push(part, last=number == len(parts) - 1) for number, part in enumerate(parts)]
    names = next(maps for maps in found if maps)
    return {name: torch.cat([maps[name] for maps in found if maps]) for name in names}


def close(ours: Tensor, theirs: Tensor, name: str) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()),
                               msg=lambda text: f"{name}: {text}")


@pytest.mark.parametrize("size", [2, 3, 8, 25])  # 16 to 200 frames
def test_every_endpoint_of_every_clip_is_its_steps_of_the_whole_video(weights, frames, whole, size):
    backbone = load_backbone(weights=weights, endpoint=",".join(ENDPOINTS), precision="float32")
    found = run(backbone.stream(ClipSpec(image_size=SIDE)), frames, size)
    assert list(found) == list(ENDPOINTS)
    for name, maps in found.items():
        assert len(maps) == NUM_CLIPS
        steps = maps.flatten(0, 1)  # (T, row, column, channel)
        if name == "Logits":  # a window of two clips: the last clip, which has none, is seen alone
            close(steps[-1], model_logits(weights, whole["Mixed_5c"][-1:]), "the last clip's logits")
            steps = steps[:-1]
        close(steps, whole[name], name)


@torch.inference_mode()
def model_logits(weights: Path, steps: Tensor) -> Tensor:
    """Of steps (1, row, column, channel) of Mixed_5c: their mean, classified."""
    layer = load_backbone(weights=weights, endpoint="Logits", precision="float32").plain.network[-1].conv3d
    return (steps.mean((0, 1, 2)) @ layer.weight.flatten(1).T + layer.bias).expand(1, 1, -1)


def test_chunks_that_are_cut_anyhow_give_the_same_bits_wherever_shapes_are_the_same(weights, frames):
    backbone = load_backbone(weights=weights, endpoint="Mixed_4c,Mixed_5c", precision="float32")
    one, other = (run(backbone.stream(ClipSpec()), part, 8) for part in (frames, frames[8:]))
    for name, maps in one.items():  # from the second chunk on, beyond what the deepest layer sees
        assert torch.equal(maps[8 + 8 + 6 :], other[name][8 + 6 :]), name


def test_a_video_of_one_clip_is_a_clip_alone(weights, frames):
    backbone = load_backbone(weights=weights, endpoint="Mixed_4c,Mixed_5c,Mixed_5c.mean,Logits", precision="float32")
    alone = backbone.maps(frames[:1])
    found = run(backbone.stream(ClipSpec()), frames[:1], 1)
    for (name, maps), expected in zip(found.items(), alone, strict=True):
        close(maps, expected, name)


def test_a_pooled_endpoint_is_the_mean_of_the_clips_own_map(weights, frames, whole):
    backbone = load_backbone(weights=weights, endpoint="Mixed_4c.mean", precision="float32")
    found = run(backbone.stream(ClipSpec()), frames, 4)["Mixed_4c.mean"]
    close(found[:, 0, 0, 0], whole["Mixed_4c"].unflatten(0, (NUM_CLIPS, 2)).mean((1, 2, 3)), "mean")


@pytest.mark.parametrize(("frames_per_clip", "endpoint", "num_frames"), [
    (4, "Mixed_4f", 100), (12, "Mixed_4c", 60), (16, "Mixed_5c", 80), (2, "Mixed_3b", 14),
])
def test_clips_of_other_lengths_with_odd_numbers_of_steps(model, weights, frames, frames_per_clip, endpoint,
                                                          num_frames):
    backbone = load_backbone(weights=weights, endpoint=endpoint, precision="float32")
    video = frames.flatten(0, 1)[:num_frames]
    expected = whole_video(model, video[None])[endpoint]
    clips = video.unflatten(0, (-1, frames_per_clip))
    found = run(backbone.stream(ClipSpec(frames_per_clip=frames_per_clip)), clips, 3)[endpoint]
    close(found.flatten(0, 1), expected, endpoint)


@needs_bfloat16
def test_bfloat16_runs_along_a_video_too(tmp_path):
    """Held to the same network's own run over the whole."""
    save_weights(lively_i3d("Mixed_3b", num_classes=5), tmp_path / "few.safetensors")
    backbone = load_backbone(weights=tmp_path / "few.safetensors", endpoint="Mixed_3b", precision="bfloat16")
    video = torch.randint(0, 256, (4, 8, 16, 16, 3), dtype=torch.uint8)
    found = run(backbone.stream(ClipSpec()), video, 2)["Mixed_3b"]
    assert found.dtype == torch.bfloat16
    expected = backbone(video.flatten(0, 1)[None])[0]
    torch.testing.assert_close(found.flatten(0, 1), expected, rtol=2**-6, atol=2**-6 * float(expected.abs().max()))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_as_on_a_cpu(weights, frames, whole):
    backbone = load_backbone(weights=weights, endpoint="Mixed_4c,Mixed_5c", precision="float32", device="cuda")
    for name, maps in run(backbone.stream(ClipSpec()), frames, 8).items():
        expected = whole[name]
        torch.testing.assert_close(maps.flatten(0, 1).cpu(), expected, rtol=0, atol=2e-3 * float(expected.abs().max()))


@pytest.mark.parametrize(("endpoint", "frames_seen"), [  # by hand: 7, + 2 x 2, + 2 x 2, + 2 x 2 (3c), + 2 x 2 (4a), ...
    ("Conv3d_1a_7x7", 7), ("Conv3d_2c_3x3", 11), ("Mixed_3c", 19), ("Mixed_4c", 39), ("Mixed_4f", 63), ("Mixed_5c", 99),
])
def test_a_step_sees_as_many_frames_as_the_layers_windows_say(model, endpoint, frames_seen):
    first, stop = seen_by(windows_to(fold(model), endpoint), 1)
    assert stop - first == frames_seen


@pytest.mark.parametrize("endpoint", DEEP)
def test_a_clip_sees_the_frames_of_its_reach_and_no_others(model, frames, endpoint):
    """The plain network, asked what a changed frame changes."""
    reach, clip = reach_of(windows_to(fold(model), endpoint), 8), 10
    video = frames[:, :, ::2, ::2].flatten(0, 1)  # 32 pixels a side
    steps = 1 if endpoint == "Mixed_5c" else 2  # of a clip
    cut = nn.Sequential(*list(model)[: list(ENDPOINTS).index(endpoint) + 1])

    @torch.inference_mode()
    def seen(changed: int | None) -> Tensor:
        other = video.clone()
        if changed is not None:
            other[changed] = 255 - other[changed]
        return cut(scale(other[None]).contiguous())[0, :, clip * steps : (clip + 1) * steps]

    before, first, last = seen(None), 8 * clip - reach.before, 8 * clip + 7 + reach.after
    for frame, sees in ((first - 1, False), (first, True), (last, True), (last + 1, False)):
        assert torch.equal(seen(frame), before) != sees, frame


def test_the_steps_beside_a_window_are_those_of_same(model):
    """For whole clips, however many: TensorFlow's SAME, which the plain network asks of the length itself."""
    for window in {*windows_to(fold(model), "Mixed_5c"), Window(2, 2)}:
        for steps in range(1, 30):
            assert (window.near, window.far) == same_padding(steps * window.stride, *window)


def test_what_cannot_be_run_along_a_video_is_refused_in_one_line(tmp_path, weights, monkeypatch):
    save_file(get_model("resnet18", weights=None).state_dict(), tmp_path / "resnet18.safetensors")
    with pytest.raises(LookupError, match=r"resnet18 sees every clip by itself.*--context clip"):
        load_backbone("resnet18", tmp_path / "resnet18.safetensors").stream(ClipSpec())
    with pytest.raises(LookupError, match=r"needs the runtime torch, not compile.*--context clip"):
        load_backbone(weights=weights, runtime="compile").stream(ClipSpec())
    ended = load_backbone(weights=weights, precision="float32").stream(ClipSpec())
    with pytest.raises(ValueError, match=r"wanted clips \(N, 8, S, S, 3\).*got \(1, 4, 32, 32, 3\)"):
        ended.push(torch.zeros(1, 4, 32, 32, 3, dtype=torch.uint8))
    ended.push(torch.zeros(1, 8, 32, 32, 3, dtype=torch.uint8), last=True)
    with pytest.raises(ValueError, match="after its last"):
        ended.push(torch.zeros(1, 8, 32, 32, 3, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"clips of 8 frames or a multiple of it at Mixed_5c, not of 4"):
        load_backbone(weights=weights, endpoint="Mixed_4c,Mixed_5c").stream(ClipSpec(frames_per_clip=4))
