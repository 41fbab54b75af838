#!/usr/bin/env bash
# @huggingface/transformers 4.3.2 (npm): `sum`, `mean` and `norm` of a Tensor of whole numbers are computed in its own type, however narrow. A
# picture as a tensor (`RawImage.toTensor`) is of bytes, so its sums go round at 256 and its mean is of what is left; the mean and the
# norm of int32 lose their fraction. PyTorch sums in 64 bits, and refuses the mean of whole numbers.
# Touches: comparing with transformers.js: statistics of pictures, masks and ids.
# Expected: sum 300 and mean 150 for a row of 200 and 100, mean 1.5 of 1 and 2, norm 1.414 of 1 and 1; or errors.
# Seen: sum 44, mean 22, mean 1, norm 1. As float32 all are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts @huggingface/transformers@4.3.2
cat > check.mjs <<'JS'
import { RawImage, Tensor } from "@huggingface/transformers";

const picture = new RawImage(new Uint8ClampedArray([200, 100]), 2, 1, 1).toTensor();
const whole = (...values) => new Tensor("int32", Int32Array.from(values), [1, values.length]);
const statistics = (bytes, two, ones) => [bytes.sum(2), bytes.mean(2), two.mean(1), ones.norm(2, 1)].map((tensor) => tensor.data[0]);
const integers = statistics(picture, whole(1, 2), whole(1, 1));
const floats = statistics(...[picture, whole(1, 2), whole(1, 1)].map((tensor) => tensor.to("float32")));
console.log(picture.type, integers, floats);
if (picture.type !== "uint8") throw new Error("another type");
if (`${integers}` !== "44,22,1,1") throw new Error("another result");
if (floats[0] !== 300 || floats[1] !== 150 || floats[2] !== 1.5 || Math.abs(floats[3] - 1.4142) > 1e-4) throw new Error("float32 changed");
JS
node check.mjs
