//! Minutes of a meeting, out of its recording.
