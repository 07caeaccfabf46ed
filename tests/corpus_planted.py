"""A folder in which something of everything that a corpus tells of is planted."""

from __future__ import annotations

import json
import random
from pathlib import Path

from corpus_made import chinese_prose, prose

FOOTER = (
    "This message and any attachment are confidential and meant for the person it was sent to alone. Whoever "
    "received it by mistake is kindly asked to tell the sender at once, to delete every copy of it, and to "
    "keep nothing of what it says to himself."
)
CHINESE_FOOTER = (
    "本邮件及其附件仅供收件人阅读，可能含有保密信息。若您误收本邮件，请立即通知发件人并删除所有副本。" * 5
)
SECRETS = ("@mail-server.org", "hidden@private-mail.org", "30 9018")
NUM_MAILS, NUM_CHINESE, NUM_NEAR, NUM_SAME, NUM_ROWS = 12, 8, 5, 3, 20


def plant(root: Path) -> Path:
    """Mails with a footer and addresses, near and equal copies, noise, broken records; in two languages."""
    for name in ("mails", "中文", "notes", "logs"):
        (root / name).mkdir(parents=True)
    for n in range(NUM_MAILS):
        signed = f"Write to person{n}@mail-server.org or call +49 30 9018 2{n:03}."
        write(root / "mails" / f"{n:02}.txt", f"{prose(n, 12)}\n\n{FOOTER}\n\n{signed}\n")
    for n in range(NUM_CHINESE):
        write(root / "中文" / f"{n:02}.txt", f"{chinese_prose(n, 20)}\n\n{CHINESE_FOOTER}\n")
    words = prose(999, 30).split(" ")
    for n in range(NUM_NEAR):
        own, draw = words.copy(), random.Random(n)
        for _ in range(n):
            own[draw.randrange(len(own))] = "changed"
        write(root / "notes" / f"near{n}.txt", " ".join(own))
    for n in range(NUM_SAME):
        write(root / "notes" / f"same{n}.txt", prose(5000, 10))
    write(root / "notes" / "page.html", f"<p>schÃ¶n und gut, sagte der Mann.</p><p>{prose(1, 3)}</p>")
    write(root / "logs" / "noise.txt", "#$%^ &*() ==== 0x00ff\n" * 200)
    (root / "logs" / "bad.bin").write_bytes(bytes(range(256)) * 20)
    rows = "".join(f'{n},"{prose(7000 + n, 3).strip()}"\n' for n in range(NUM_ROWS))
    write(root / "logs" / "rows.csv", f"id,text\n{rows}1,2,3,write to hidden@private-mail.org\n")
    records = "".join(json.dumps({"text": prose(8000 + n, 4)}) + "\n" for n in range(NUM_ROWS))
    write(root / "logs" / "records.jsonl", records + '{"text": broken\n')
    return root


def write(path: Path, text: str) -> None:
    """Write a text whose line ends stay as they are."""
    path.write_bytes(text.encode())
