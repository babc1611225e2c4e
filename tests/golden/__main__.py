"""Write what the scripts cause now into them: `python -m tests.golden`, then read the diff."""

from tests.golden.script import played, traces

for trace in traces():
    before = trace.read_text()
    after = played(before)
    if after != before:
        trace.write_text(after)
        print(f"changed: {trace.name}")
