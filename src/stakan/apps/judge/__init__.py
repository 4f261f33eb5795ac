"""The judge of detectors: plants episodes into recorded books, lets detectors watch, and scores what they say."""
