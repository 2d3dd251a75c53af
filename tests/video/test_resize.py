"""TensorFlow 1's bilinear resize: against values that TensorFlow computed, and against its rule worked by hand."""

import numpy as np
import pytest
import torch

from stvr.video.resize import resize_tf1


@pytest.mark.parametrize("size", [(5, 4), (16, 20)])
def test_frames_are_resized_as_tensorflow_1_does(shared, size):
    theirs = np.load(shared / "data/reference_values/od_api_reference_values.npz")
    frames = torch.from_numpy(theirs["resize_in"])
    ours = resize_tf1(frames, size)
    np.testing.assert_allclose(ours, theirs["resize_tf1_{}x{}".format(*size)], atol=1e-5, rtol=0)


def test_a_sample_is_read_at_its_index_times_the_scale():
    """Two columns of 0 and 90 become four: at 0, 0.5, 1 and, past the last one, 1 again."""
    frames = torch.tensor([[[0, 90]]], dtype=torch.uint8).reshape(1, 1, 2, 1)
    assert resize_tf1(frames, (1, 4)).flatten().tolist() == [0.0, 45.0, 90.0, 90.0]
    assert resize_tf1(frames, (1, 1)).flatten().tolist() == [0.0]  # nothing is averaged


def test_frames_of_the_wanted_size_come_back_exactly():
    frames = torch.randint(0, 256, (2, 8, 6, 7, 3), dtype=torch.uint8)
    resized = resize_tf1(frames, (6, 7))
    assert resized.dtype == torch.float32
    assert torch.equal(resized, frames.float())


def test_every_frame_of_a_batch_is_resized_alone():
    frames = torch.randint(0, 256, (2, 3, 9, 7, 3), dtype=torch.uint8)
    torch.testing.assert_close(resize_tf1(frames, (4, 13))[1, 2], resize_tf1(frames[1, 2], (4, 13)))


def test_a_size_of_zero_is_refused():
    with pytest.raises(ValueError, match="at least 1 x 1"):
        resize_tf1(torch.zeros(8, 8, 3), (0, 4))
