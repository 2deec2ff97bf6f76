"""What dripiq decides, with nothing it decides from: pure rules, values in and values out.

No I/O, no clock, no randomness, no SQL; `now` is always passed in (import-linter holds this room to it).
"""
