//! Speech to text with models of one's own choice: what the pipeline `automatic-speech-recognition` is built on.
