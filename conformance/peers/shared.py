"""What the Python peers share: payloads, waiting with a deadline, and one JSON line per check."""
import asyncio
import hashlib
import json
import os
import random
import sys
import threading
import time

MIB = 1 << 20
LIMIT = 16 * MIB
SIZES = [0, 1, 125, 126, 65535, 65536, MIB, LIMIT]
SECONDS = 40


def payload(kind, size):
    """A message of `size` bytes; the multibyte text holds characters of 1 to 4 bytes."""
    if kind == "binary":
        unit = hashlib.sha512(str(size).encode()).digest()
        return (unit * (size // len(unit) + 1))[:size]
    unit = "The quick brown fox. " if kind == "ascii" else "é€😀z"
    count, rest = divmod(size, len(unit.encode()))
    return unit * count + "-" * rest


def varied(kind, size):
    """Words in an order that does not repeat soon, then the same 64 KiB again and again; `kind` is text or binary."""
    draw = random.Random(size)
    if kind == "binary":
        data = bytes(draw.choices(range(16), k=min(size, 1 << 16)))
        return (data * (size // (1 << 16) + 1))[:size]
    words = ["{\"id\": ", "größe", ", \"name\": ", "temperature", "日本語", "value", "0.25", "}, "]
    data = "".join(draw.choices(words, k=min(size, 1 << 16) // 4 + 1)).encode()[:1 << 16]
    data = (data.decode(errors="ignore") * (size // 65000 + 1)).encode()[:size].decode(errors="ignore")
    return data + "-" * (size - len(data.encode()))


def pieces(data, count):
    step = -(-len(data) // count)
    return [data[i * step:(i + 1) * step] for i in range(count)]


def require(condition, message):
    if not condition:
        raise AssertionError(message)


def same_message(got, expected):
    require(type(got) is type(expected), "a %s reply to %s" % (type(got).__name__, type(expected).__name__))
    require(got == expected, "the reply of %d differs from the %d sent" % (len(got), len(expected)))


def report(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def check(name, run, *args):
    start, ok = time.monotonic(), True
    try:
        detail = await asyncio.wait_for(run(*args), SECONDS) or ""
    except asyncio.TimeoutError:
        ok, detail = False, "no end within %d s" % SECONDS
    except Exception as error:
        ok, detail = False, "%s: %s" % (type(error).__name__, error)
    report({"name": name, "ok": ok, "seconds": time.monotonic() - start, "detail": detail})


def end_with_input():
    """A peer never outlives the script that started it."""
    def wait():
        while os.read(0, 4096):
            pass
        end()
    threading.Thread(target=wait, daemon=True).start()


def end():
    """End at once, whatever other threads and tasks wait for."""
    sys.stdout.flush()
    os._exit(0)
