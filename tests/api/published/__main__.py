"""By hand: see the package."""

from __future__ import annotations

import argparse
import os
import secrets
import sys

from tests.api.published.guide import GUIDE
from tests.api.published.run import Run
from tests.api.published.story import STORY
from tests.api.published.wire import Api, Key


def told(run: Run, registry_url: str) -> Run:
    """The whole story, with names of its own in the project."""
    run.known |= {
        "registry": f"published-{secrets.token_hex(4)}",
        "number": str(secrets.randbelow(10**8) + 10**9),
        "registry_url": registry_url,
    }
    for entry in STORY:
        run.tell(entry)
    return run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.api.published", description="See the package's docstring.")
    parser.add_argument("--url", required=True, help="of the API, such as https://registry.example.com")
    parser.add_argument("--registry-url", help="where images are pushed to; unset: the same")
    parser.add_argument("--appkey", required=True)
    parser.add_argument("--id", required=True, help="access key ID of somebody who may change everything")
    parser.add_argument("--secret-from-env", required=True, metavar="VARIABLE", help="that holds its secret")
    parser.add_argument("--viewer-id", help="access key ID of somebody who may only look")
    parser.add_argument("--viewer-secret-from-env", metavar="VARIABLE")
    given = parser.parse_args()
    viewer = Key(given.viewer_id, os.environ[given.viewer_secret_from_env]) if given.viewer_id else None
    api = Api(given.url, given.appkey, Key(given.id, os.environ[given.secret_from_env]))
    run = told(Run(api, viewer), given.registry_url or given.url)
    for finding in run.findings:
        print(finding)
    print(
        f"{len(run.done)} of {len(GUIDE)} operations, {run.calls} calls, {run.refusals} refusals, {run.fields} fields: "
        f"{len(run.findings)} findings",
        file=sys.stderr,
    )
    return 1 if run.findings else 0


if __name__ == "__main__":
    sys.exit(main())
