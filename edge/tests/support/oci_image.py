"""Writes a container image as an OCI layout: oci_image.py FOLDER BYTES, where BYTES is the size of its one layer's file."""

import hashlib
import io
import json
import os
import random
import sys
import tarfile

folder, size = sys.argv[1], int(sys.argv[2])
os.makedirs(os.path.join(folder, "blobs", "sha256"))


def blob(media_type, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(folder, "blobs", "sha256", digest), "wb") as file:
        file.write(data)
    return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}


tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as archive:
    entry = tarfile.TarInfo("data")
    entry.size = size
    archive.addfile(entry, io.BytesIO(random.Random(1).randbytes(size)))
layer = blob("application/vnd.oci.image.layer.v1.tar", tar.getvalue())
config = {
    "architecture": "amd64",
    "os": "linux",
    "config": {},
    "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
}
config = blob("application/vnd.oci.image.config.v1+json", json.dumps(config).encode())
manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
manifest = blob("application/vnd.oci.image.manifest.v1+json", json.dumps(manifest).encode())
manifest["annotations"] = {"org.opencontainers.image.ref.name": "1"}
with open(os.path.join(folder, "index.json"), "w") as file:
    json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
with open(os.path.join(folder, "oci-layout"), "w") as file:
    json.dump({"imageLayoutVersion": "1.0.0"}, file)
