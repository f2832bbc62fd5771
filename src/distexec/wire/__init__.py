"""What crosses a process: records, codec, signing, pickles."""
