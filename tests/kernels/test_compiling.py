"""What scripts/compile_kernels.py sees in kernels that each have one fault."""

import importlib
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="needs triton, which this machine has no build of")

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield importlib.import_module("compile_kernels")


@pytest.fixture(scope="module", params=["sm_90", "gfx942"])
def target(request):
    return request.param


@pytest.fixture(scope="module")
def outcomes(target, script, tmp_path_factory):
    """Each kernel's outcome, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        jobs = [job for job in script.jobs_of("bad_kernels") if job.target == target]
        return {job.name.strip(): script.compile_job(job) for job in jobs}


def test_a_sound_kernel_has_nothing_against_it(outcomes, target):
    sound = outcomes["sound"]
    assert (sound.error, sound.spills, sound.atomics) == ("", 0, 0)
    assert sound.registers > 0
    assert sound.wide_loads == {"sm_90": 2, "gfx942": 1}[target]  # 1024 float32 by 4 warps of 32 threads, or 64


def test_a_kernel_that_spills_is_seen(outcomes):
    assert outcomes["spilling"].spills > 0


def test_a_kernel_with_atomics_is_seen(outcomes):
    assert outcomes["racing"].atomics > 0


def test_a_kernel_that_does_not_compile_says_why(outcomes):
    assert "CompilationError" in outcomes["broken"].error


@pytest.mark.parametrize("fault", ["error", "spills", "atomics"])
def test_any_fault_counts_as_a_failure(script, fault, capsys):
    job = script.Job("bad_kernels", "sm_90", 0, "x")
    bad = script.Outcome(**{fault: "no" if fault == "error" else 1})
    assert script.report([job, job], [script.Outcome(), bad]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_a_kernel_without_a_case_is_named(script):
    assert script.kernels_without_case("bad_kernels") == ["forgotten"]
