"""Read the subunit stream in a file and print what became of each test, as JSON: name, outcome, text.

Runs under the Python of tempest's environment, which knows the stream; the text is a skip's reason or a failure's
traceback. A class whose set-up failed stands under the name of its set-up.
"""

import json
import sys

import subunit
import testtools

# What a test may come to; whatever else the stream says (a test that never ended) is a failure.
KNOWN = {"success": "passed", "skip": "skipped", "xfail": "passed"}


def main() -> None:
    """Print one JSON list."""
    found: list[dict[str, str]] = []

    def note(test: dict) -> None:
        if test["status"] == "exists":
            return
        details = test["details"]
        wanted = details.get("reason") or details.get("traceback")
        if wanted is None:
            wanted = next((one for name, one in sorted(details.items()) if name.startswith("traceback")), None)
        found.append(
            {
                "name": test["id"],
                "outcome": KNOWN.get(test["status"], "failed"),
                "text": wanted.as_text() if wanted is not None else "",
            }
        )

    result = testtools.StreamToDict(note)
    result.startTestRun()
    with open(sys.argv[1], "rb") as stream:
        subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout").run(result)
    result.stopTestRun()
    json.dump([one for one in found if one["name"] != "stdout"], sys.stdout)


if __name__ == "__main__":
    main()
