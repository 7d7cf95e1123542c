"""From release files to a training stream: shards of variants, windows, edits, hold-outs."""
