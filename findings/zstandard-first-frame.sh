#!/bin/sh
# zstandard 0.25.0 for Python: half of its ways to decompress a layer end with the layer's first file.
#
# A zstd file may be many frames, one after the other; zstd:chunked, as podman and skopeo push it, begins
# a new one for every file of a layer. RFC 8878 has the decoder put them together, and the zstd
# command does. Of this library's ways copy_stream() and open() go on over the border; decompress(),
# decompressobj() and read_to_iter(), the one for downloads, stop there and report nothing: what
# follows is extra data to them, which they allow. And tarfile finds no fault, since the border is one
# of the archive, too: a layer of three files is a good layer of one. read_across_frames=True is for
# that, but decompress() answers that it is not made yet, and read_to_iter() has no such parameter.
#
# Seen, for three files in three frames: a, b, c with zstd, open and copy_stream; a with the other three.
. "$(dirname "$0")/lib.sh"

pypi zstandard==0.25.0
debian zstd=1.5.4+dfsg2-5+deb12u1
cat >"$work/look.py" <<'PYTHON'
import io
import subprocess
import sys
import tarfile

import zstandard

path, program = sys.argv[1:]
plain, ends = io.BytesIO(), []
with tarfile.open(fileobj=plain, mode="w") as archive:
    for name in "abc":
        ends.append(archive.offset)
        archive.addfile(tarfile.TarInfo(name))
whole = plain.getvalue()
compress = zstandard.ZstdCompressor().compress
layer = b"".join(compress(whole[here:there]) for here, there in zip(ends, [*ends[1:], len(whole)]))
with open(path, "wb") as file:
    file.write(layer)
decompressor, copied = zstandard.ZstdDecompressor(), io.BytesIO()
decompressor.copy_stream(io.BytesIO(layer), copied)
with zstandard.open(path, "rb") as file:
    opened = file.read()
for way, found in {
    "zstd": subprocess.run([program, "-dc", path], check=True, capture_output=True).stdout,
    "open": opened,
    "copy_stream": copied.getvalue(),
    "decompress": decompressor.decompress(layer),
    "decompressobj": decompressor.decompressobj().decompress(layer),
    "read_to_iter": b"".join(decompressor.read_to_iter(io.BytesIO(layer))),
}.items():
    print(way, *tarfile.open(fileobj=io.BytesIO(found)).getnames())
try:
    decompressor.decompress(layer, read_across_frames=True)
except zstandard.ZstdError as error:
    print(error, file=sys.stderr)
PYTHON
"$python" "$work/look.py" "$work/layer.tar.zst" "$root/usr/bin/zstd" >"$work/out" 2>"$work/said"
while read -r way names; do
    case $way in zstd | open | copy_stream) wanted="a b c" ;; *) wanted=a ;; esac
    expect "$way" "$names" "$wanted"
done <"$work/out"
expect "asked for all frames, decompress" "$(grep -o 'not yet implemented' "$work/said")" "not yet implemented"
expect "ways" "$(wc -l <"$work/out")" 6
finish
