"""Fuzzing of everything that reads what somebody else gave: files, texts, saved states, messages.

`readers` is the one table of readers: how each reads an input and uses it, which errors are documented, what has to
hold for what is accepted. Three drivers use it: test_fuzz.py replays the committed corpus and some mutations,
`make fuzz` (`python -m fuzz`, in this folder's parent) runs each under atheris, guided by coverage, and
`python -m fuzz --distil` chooses the corpus. A file corpus/READER/OUTCOME-HASH has to have that outcome, accepted or
refused; crash-HASH, timeout-HASH and oom-HASH are findings, which may have either once they are mended.
"""
