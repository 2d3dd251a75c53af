"""The synthetic world without files: torch and numpy are enough to train on it."""

import subprocess
import sys

import pytest
import torch

from stvr.structures import ClipSpec, Pair, Span
from stvr.tasks.pairs.dataset import read_item
from stvr.world.options import world_options
from stvr.world.rendered import RenderedFeatures, RenderedSpec, rendered_clips, rendered_features, tubelets
from stvr.world.scenes import build_scene

OPTIONS = world_options("tiny", {"image_size": 32, "num_train_videos": 2, "num_test_videos": 1})
CLIP = ClipSpec(24, 8, 32)

ALONE = """
import sys

FORBIDDEN = {"av", "zarr", "pandas", "pydantic", "typer", "scipy", "torchvision", "h5py", "PIL"}

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} is not on this machine")

sys.meta_path.insert(0, Forbid())
import torch

from stvr.world.rendered import rendered_features, tubelets
from stvr.world.scenes import build_scene
from stvr.world.sheet import contact_sheet
from stvr.world.options import world_options
from stvr.structures import ClipSpec

options = world_options("tiny", {"image_size": 32, "num_train_videos": 6, "combined": True, "speed": (1, 2)})
names = options.names()[:6]
moving = lambda clips: (clips[:, 1:].float() - clips[:, :-1].float()).abs().mean(1, keepdim=True) / 255
features = rendered_features(options, moving, names)
samples, labels = [], []
for name in names:
    for label, tubelet in tubelets(build_scene(options, name), name, ClipSpec(24, 8, 32)):
        maps = features.read(tubelet.span).float().flatten(1).mean(0)
        samples.append(maps)
        labels.append(label[0])
kinds = sorted(set(labels))
inputs, targets = torch.stack(samples), torch.tensor([kinds.index(label) for label in labels])
inputs = (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-6)
weight = torch.zeros(inputs.shape[1], len(kinds), requires_grad=True)
losses = []
for _ in range(60):
    loss = torch.nn.functional.cross_entropy(inputs @ weight, targets)
    (step,) = torch.autograd.grad(loss, weight)
    with torch.no_grad():
        weight -= 0.001 * step
    losses.append(loss.item())
assert contact_sheet(options).shape == (5 * 34, 8 * 34, 3)
assert not FORBIDDEN & {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
print(losses[0], losses[-1])
"""


def test_torch_and_numpy_are_enough_to_train_on_it():
    result = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    first, last = map(float, result.stdout.split())
    assert last < first / 2


def test_clips_are_the_frames_eight_by_eight():
    scene = build_scene(OPTIONS, "train_0001")
    parts = list(rendered_clips(scene, CLIP, batch_size=5))
    assert [len(part) for part in parts] == [5, 5, 2]
    joined = torch.cat([torch.from_numpy(part) for part in parts])
    assert joined.shape == (12, 8, 32, 32, 3)
    assert torch.equal(joined.flatten(0, 1), torch.from_numpy(scene.frames()))


def test_rendered_features_are_read_like_a_store():
    features = rendered_features(OPTIONS, lambda clips: clips[:, ::4, ::16, ::16].float(), batch_size=3)
    assert features.videos() == ["test_0000", "train_0000", "train_0001"]
    assert "train_0001" in features
    assert "train_0009" not in features
    (_, target), *_ = tubelets(build_scene(OPTIONS, "train_0001"), "train_0001", CLIP)
    query = tubelets(build_scene(OPTIONS, "train_0000"), "train_0000", CLIP)[0][1]
    item = read_item(features, Pair(query, Span("train_0001", 0, 12), (target,), "1"))
    assert item.reference.shape == (12, 2, 2, 2 * 3)
    assert torch.equal(item.query_boxes, query.boxes)
    frames = torch.from_numpy(build_scene(OPTIONS, "train_0001").frames())
    assert item.reference[5, 1, 0, 3:].tolist() == frames[5 * 8 + 4, 16, 0].tolist()  # the second of two times


def test_clips_that_were_not_rendered_are_refused():
    features = RenderedFeatures({"v": torch.zeros(4, 1, 1, 1, 1)}, RenderedSpec(CLIP))
    for span in (Span("v", 2, 5), Span("w", 0, 1)):
        with pytest.raises(LookupError, match="not rendered"):
            features.read(span)
    with pytest.raises(LookupError, match="mirrored"):
        features.read(Span("v", 0, 1), flipped=True)


def test_clips_cut_differently_from_the_world_are_refused():
    with pytest.raises(ValueError, match="24 frames a second at 64 px, got a world of 24 at 32 px"):
        next(rendered_clips(build_scene(OPTIONS, "train_0000"), ClipSpec(24, 8, 64)))
