"""The menu: each propagation has its own options, and another package may add one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import stvr.propagation
from stvr.menus import Menu
from stvr.propagation import PROPAGATION, build_propagation

MADE_UP = '''
import torch

from stvr.config import Options
from stvr.propagation import Propagation, PropagationEntry


class Fading(Propagation):
    """A running sum that fades."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def stream(self, features, state=None, flow=None):
        hidden = []
        for clip in features.unbind(1):
            state = clip if state is None else self.rate * state + clip
            hidden.append(state)
        return torch.stack(hidden, 1), state


class FadingOptions(Options):
    rate: float = 0.5


FADING = PropagationEntry(FadingOptions, lambda channels, options: Fading(options.rate))
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """The menu with a propagation of another package on it."""
    (tmp_path / "made_up.py").write_text(MADE_UP)
    info = tmp_path / "made_up-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made_up\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stvr.propagation]\nfading = made_up:FADING\n")
    monkeypatch.syspath_prepend(tmp_path)
    ours = {name: PROPAGATION[name] for name in PROPAGATION}
    monkeypatch.setattr(stvr.propagation, "PROPAGATION", Menu(PROPAGATION.what, PROPAGATION.group, ours))
    yield stvr.propagation.PROPAGATION
    sys.modules.pop("made_up", None)


def test_a_propagation_of_another_package_is_on_the_menu_and_runs(outside):
    assert list(outside) == ["none", "conv_lstm", "flow", "traj_lstm", "warp_lstm", "bidirectional", "transformer",
                             "fading"]
    features = torch.ones(1, 3, 2, 2, 4)
    assert build_propagation("fading", 4)(features)[0, :, 0, 0, 0].tolist() == [1, 1.5, 1.75]
    assert build_propagation("fading", 4, {"rate": 1.0})(features)[0, :, 0, 0, 0].tolist() == [1, 2, 3]
    assert build_propagation("fading", 4, outside["fading"].options(rate=0))(features).eq(1).all()


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(("name", "options", "fault"), [
    ("fading", {"order": 2}, r"propagation 'fading': there is no option 'order'. The options are: rate\."),
    ("fading", {"rate": "slow"}, r"propagation 'fading': option 'rate'"),
    ("warp_lstm", {"rate": 0.5}, r"propagation 'warp_lstm': there is no option 'rate'.* order"),
    ("conv_lstm", {"order": 1}, r"propagation 'conv_lstm': there is no option 'order'"),
    ("warp_lstm", {"form": "keras"}, r"propagation 'warp_lstm': option 'form'"),
    ("traj_lstm", {"num_links": 0}, r"propagation 'traj_lstm': option 'num_links'"),
    ("none", {"bottleneck": 4}, r"propagation 'none': there is no option 'bottleneck'"),
])  # fmt: skip
def test_an_option_that_is_not_the_entrys_is_refused_by_name(name, options, fault):
    with pytest.raises(ValueError, match=fault) as refusal:
        build_propagation(name, 6, options)
    assert "\n" not in str(refusal.value)


def test_a_name_off_the_menu_is_refused_with_the_menu(outside):
    with pytest.raises(LookupError, match=r"conv_lstm.* warp_lstm, .*fading"):
        build_propagation("wrap_lstm", 6)


@pytest.mark.parametrize("name", PROPAGATION)
def test_every_option_has_a_default_and_the_need_of_flow_is_known_before_building(name):
    entry = PROPAGATION[name]
    assert entry.build(6, entry.options()).needs_flow == entry.needs_flow == (name == "flow")


@pytest.mark.parametrize(("channels", "width"), [(64, 64), (1024, 128)])
def test_the_bottleneck_is_the_programs_and_never_wider_than_the_features(channels, width):
    """The program's is 128, of 1024 channels."""
    assert build_propagation("conv_lstm", channels).cell.gates.pointwise.out_channels == width


def test_cells_and_their_benchmarks_need_torch_triton_and_numpy_alone():
    """scripts/gpu_check.sh runs where nothing else is installed."""
    missing = ["pydantic", "pandas", "zarr", "torchvision", "safetensors", "typer", "rich", "h5py", "av", "scipy",
               "platformdirs", "unearth"]
    script = f"import sys; sys.modules.update(dict.fromkeys({missing})); import bench_kernels"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (root, root / "benchmarks")))}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
