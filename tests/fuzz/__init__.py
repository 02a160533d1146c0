"""Fuzzing of every reader of foreign input: files, texts, saved states, messages.

`readers` is the table of readers: how each reads and uses an input, its documented errors, and the checks of accepted
inputs. Three drivers use it: test_fuzz.py replays the committed corpus and some mutations,
`make fuzz` (`python -m fuzz`, in this folder's parent) runs each under atheris, guided by coverage;
`python -m fuzz --distil` chooses the corpus. A file corpus/READER/OUTCOME-HASH has to have that outcome, accepted or
refused; crash-HASH, timeout-HASH and oom-HASH are findings, which may have either outcome once fixed.
"""
