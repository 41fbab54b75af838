//! Files of sound and films that are not read, by their first bytes: without this, the demuxers look for a packet of mp3
//! in them, and find one.

/// What a file is that begins so, if it is one of them.
pub(super) fn foreign(start: &[u8; 12]) -> Option<&'static str> {
    let by_start = BY_START.iter().find(|(bytes, _)| start.starts_with(bytes));
    let avi = || (start.starts_with(b"RIFF") && start.ends_with(b"AVI ")).then_some("an AVI film");
    by_start.map(|(_, name)| *name).or_else(avi)
}

const BY_START: &[(&[u8], &str)] = &[
    (b"#!AMR", "an AMR recording"),
    (b".snd", "a Sun audio file"),
    (b"Creative Voi", "a VOC file"),
    (b"FLV\x01", "a Flash film"),
    (b"MAC ", "Monkey's Audio"),
    (b"TTA1", "True Audio"),
    (b"caff", "a CAF file"),
    (b"riff\x2E\x91\xCF\x11", "a Wave64 file"),
    (b"wvpk", "WavPack"),
    (b"\x00\x00\x01\xBA", "an MPEG film"),
    (b"\x0B\x77", "AC-3"),
    (b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", "a Windows Media file (WMA, WMV)"),
    (b"\x7F\xFE\x80\x01", "DTS"),
];
