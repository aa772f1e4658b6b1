"""What a log line says of the request it belongs to."""

import logging
from pathlib import Path

from lite_common import config, context


def test_a_line_names_the_request_its_caller_and_no_secret(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        config.load("x", "x", [], ["--log-file", str(log)])
        ctx = context.RequestContext(user_id="ann", project_id="p1", auth_token="ann:p1:secret")
        logging.getLogger("step").info("step=x outcome=ok")
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in before[0]:
            root.addHandler(handler)
        root.setLevel(before[1])
        logging.captureWarnings(False)
        context.RequestContext(request_id="req-none")
    line = log.read_text()
    assert f"{ctx.request_id} ann p1]" in line
    assert "step=x outcome=ok" in line
    assert "secret" not in line
