"""A process that puts conversations back to the first text that it saw of them: a bad writer."""

import sys
import time

from redis import Redis


def main() -> None:
    first = {}
    with Redis.from_url(sys.argv[1]) as client:
        while True:
            for key in client.scan_iter("channel:*", count=1000):
                stored = client.get(key)
                if stored is not None and first.setdefault(key, stored) != stored:
                    client.set(key, first[key], keepttl=True)
            time.sleep(0.01)


if __name__ == "__main__":
    main()
