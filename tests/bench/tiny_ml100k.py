"""A tiny data set in the format of MovieLens-100K, with checksums of its own."""

from __future__ import annotations

import hashlib
import io
import zipfile

RATINGS = [
    (1, 1, 5, 100),
    (2, 1, 3, 90),
    (2, 2, 1, 95),
    (1, 3, 4, 80),
    (3, 2, 2, 70),
    (3, 3, 5, 75),
]
TEST_ROWS = {"ua": [0, 1], "ub": [2, 3], "u1": [0], "u2": [1], "u3": [2], "u4": [3], "u5": [4]}


def ml100k_files() -> dict[str, bytes]:
    """Content of every file that is read, and of README, for `RATINGS` and `TEST_ROWS`."""

    def lines(rows: list[tuple]) -> bytes:
        return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()

    flags = [
        "|".join("1" if genre in has else "0" for genre in range(19)) for has in ([1, 5], [8], [])
    ]
    url = "http://us.imdb.com/M/title-exact"
    files = {
        "README": b"USAGE LICENSE\nfor research\n\nCITATION\nplease\n",
        "u.data": lines(RATINGS),
        "u.user": b"1|24|M|technician|85711\n2|53|F|none|V3N4P\n3|7|M|writer|01002\n",
        "u.item": (
            f"1|Toy Story (1995)|01-Jan-1995||{url}?Toy|{flags[0]}\n"
            f'2|"Mis\xe9rables", Les (1934)|4-Feb-1934||{url}?Mis|{flags[1]}\n'
            f"3|unknown||||{flags[2]}\n"
        ).encode("latin-1"),
        "u.genre": "".join(f"genre{g}|{g}\n" for g in range(19)).encode() + b"\n",
    }
    for name, test in TEST_ROWS.items():
        files[f"{name}.test"] = lines(sorted(RATINGS[row] for row in test))
        files[f"{name}.base"] = lines(
            sorted(rating for row, rating in enumerate(RATINGS) if row not in test)
        )
    return files


def sha256_of(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def zip_of(files: dict[str, bytes], prefix: str = "ml-100k/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(prefix + name, content)
    return buffer.getvalue()
