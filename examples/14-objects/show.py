"""Show the parts that the pipeline wrote."""

from __future__ import annotations

import io

import arro3.io
import obstore
from store import bucket

for page in obstore.list(bucket(), "paid"):
    for part in page:
        print(part["path"])
        data = io.BytesIO(bytes(obstore.get(bucket(), part["path"]).bytes()))
        table = arro3.io.read_parquet(data).read_all()
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            print(*row)
