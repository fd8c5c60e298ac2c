"""Writes a wheel with one module and so many bytes of data: wheel.py FOLDER NAME VERSION BYTES"""

import base64
import hashlib
import os
import random
import sys
import zipfile

folder, name, version, size = sys.argv[1:]
about = f"{name}-{version}.dist-info"
files = {
    f"{name}/__init__.py": f"VERSION = {version!r}\n".encode(),
    f"{name}/data": random.Random(1).randbytes(int(size)),
    f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: of a test\n".encode(),
    f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
record = ""
with zipfile.ZipFile(os.path.join(folder, f"{name}-{version}-py3-none-any.whl"), "w") as wheel:
    for path, data in files.items():
        wheel.writestr(path, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    wheel.writestr(f"{about}/RECORD", record + f"{about}/RECORD,,\n")
