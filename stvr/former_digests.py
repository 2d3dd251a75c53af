"""Digests that stood for the analytic weights on some machines, by the one that stands for them everywhere."""

SAME_WEIGHTS = {  # former: today's. Without AVX-512, exp() gave 12 zeros of the first layer the other sign
    # Conv3d_1a_7x7
    "sha256:f913d2c1af3c9dbba4a4a0a75e85a65c65ba1d2cf1c01ec44878e2bfdd9b8aba":
        "sha256:ad1af9ef9607b09bce2b0af2d0bbde7304d77ee2abb5e7664b29ab8014b16355",
    # Conv3d_2b_1x1
    "sha256:2f9f0f5b075f224b4012cfebbf5a332839a14d886cb7d7a9b8cff9a21e147eb5":
        "sha256:3f22c94e6351ca8e174f28f7ea2634215349586f5fa39a9b2ef91cbae9d0cfc2",
    # Conv3d_2c_3x3
    "sha256:5f73774fdae6c66a758b7921559e0adf17105474f39886a49e50c672965249a5":
        "sha256:a98147a0d50d2f49b93dd722d7cd98d137643d9267a70fe4913b5d473524510c",
    # Mixed_3b
    "sha256:1bc51f73e6e7b1ac0c5cbe1f86e87dc61bbe4d833fbf2688f1c9c0839f803330":
        "sha256:2ce1487fd0c0e837653766517a0f9cb2d2580e905950f0023172f440777e97fa",
    # Mixed_3c
    "sha256:f8a8b24b7677f86cde4e2af64a716dc01f20cfb5695b1343f0159bcd5c286d8d":
        "sha256:2cde687345a2b2effc4c226984e3b63a3e2a30f5ffa19e1215a9e75037852b5d",
    # Mixed_4b
    "sha256:3ca9c52404ada1c51606b945ef1636b86b1bfcf376e5288e0d3146ba1ebb8329":
        "sha256:14afa0aada471d96ea659e2b08f0f14192732592bb62fd901f2701846dead70e",
    # Mixed_4c
    "sha256:fb519fc36a6c97737669dedd4b4351010ca5507f1f732e4000175ec327adfd13":
        "sha256:f1ca9dc9b26417caf42ec95b8efadf88a20e66a6b68c743ea0f6e6dc1434d443",
    # Mixed_4d
    "sha256:7e700ad3e9b922e7305da35c54289646c7749ef3b4a23081d0388f3e9489275f":
        "sha256:c8c9916ae9cbc8af5a1bead71571da9c7ddd41c76aba29404ae57ea08b62a5b1",
    # Mixed_4e
    "sha256:5e82669feed2b573c18bce0f3de8f30d74f5f27c980f961e88f191b68083a9a2":
        "sha256:678cbd5509e49d4a86a9728fdb714265d5bb8881e1b943d901019e529b0db713",
    # Mixed_4f
    "sha256:fb51db0de991ae4aa9d1a4ce50612d229550fdaf0ba34ce6fbac69b8d3abf8f1":
        "sha256:59c9d8af486574ad710db39d642484374ad199a59d99384cafaf109c5566c25c",
    # Mixed_5b
    "sha256:ab89041b1e43f572f8911b03566f8aaadff4cd6fd61a05e21bc2cef22515d6d7":
        "sha256:9bdc044817e59f6a4cc3e3f788c461f8cd773eb8aa496ebdd882ab683cfb2cb9",
    # Mixed_5c
    "sha256:86acde61f9de521f03643bbc321643a26284bd45b2494bbc4ab01d5a7404c165":
        "sha256:4899aa8834461fe7939f7c0e2ea6d8b63c266fbff34de6871f2eb485b57220b0",
    # Logits
    "sha256:3eb88aabe6ed4e09092b05ca696bca553b6ad3831594a03709161959de51b096":
        "sha256:15dd0bfe6e755e73ae21957141e7c9ca7fde9a644c37eb6b9dc2d6e87f8d193a",
}


def settled_digest(digest: str) -> str:
    """The digest by which weights are compared, whichever machine wrote it."""
    return SAME_WEIGHTS.get(digest, digest)
