#!/usr/bin/env python3
"""A model of random weights that reads text: the tokenizer of the embedded model, any size. It says nothing sensible, but costs what a
model of its size costs, so that speed and cancelling can be measured without a download.

    random_model.py OUT.gguf [--width 768] [--layers 12] [--forward 2048] [--context 8192] [--seed 1]

Written as GGUF version 3 with Q8_0 matrices and F32 norms, architecture qwen2."""
import argparse, os, random, re, struct, sys

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(HERE, "..", "..", "engine", "tiny", "mux-tiny-q8_0.gguf")
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a metadata type; 8: string, 9: array
F32, Q8_0 = 0, 8
ALIGN = 32


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def string(self):
        return self.take(self.number("Q"))

    def skip_value(self, kind):
        if kind == 8:
            self.string()
        elif kind == 9:
            inner, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip_value(inner)
        else:
            self.take(SIZES[kind])


def read_metadata(path):
    """name -> the value as it stands in the file, its type included"""
    with open(path, "rb") as f:
        reader = Reader(f.read())
    if reader.take(4) != b"GGUF" or reader.number("I") != 3:
        sys.exit("%s is no GGUF file of version 3" % path)
    tensors, count, out = reader.number("Q"), reader.number("Q"), {}
    for _ in range(count):
        name, begin = reader.string().decode(), reader.at
        reader.skip_value(reader.number("I"))
        out[name] = reader.data[begin:reader.at]
    names = {}
    for _ in range(tensors):
        name = reader.string().decode()
        shape = [reader.number("Q") for _ in range(reader.number("I"))]
        reader.take(12)
        names[name] = shape
    return out, names


def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def tensor_bytes(kind, shape, rng, scale):
    count = 1
    for n in shape:
        count *= n
    if kind == F32:
        return struct.pack("<f", scale) * count
    block = struct.pack("<e", scale / 127)
    weights = rng.randbytes(count)
    return b"".join(block + weights[i:i + 32] for i in range(0, count, 32))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--forward", type=int, default=2048)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    metadata, tiny = read_metadata(TINY)
    vocabulary, width, rng = tiny["token_embd.weight"][1], args.width, random.Random(args.seed)
    heads = width // 64
    for name, value in [("context_length", args.context), ("embedding_length", width), ("block_count", args.layers),
                        ("feed_forward_length", args.forward), ("attention.head_count", heads), ("attention.head_count_kv", heads)]:
        metadata["qwen2." + name] = struct.pack("<II", 4, value)
    for name in [n for n in metadata if n.startswith("qwen2.") and ("key_length" in n or "value_length" in n or "dimension_count" in n)]:
        del metadata[name]
    for name in [n for n in metadata if n.startswith("mux.")]:
        del metadata[name]
    # Without its line labels: a model that has them is taken for the embedded one.
    metadata["tokenizer.ggml.tokens"] = re.sub(rb"<\|(\d+)\|>", rb"<_\1_>", metadata["tokenizer.ggml.tokens"])
    metadata["general.name"] = struct.pack("<I", 8) + text("random-%d-%d" % (width, args.layers))
    shapes = [("token_embd.weight", Q8_0, [width, vocabulary], 0.05), ("output_norm.weight", F32, [width], 1.0)]
    for i in range(args.layers):
        for name, kind, shape, scale in [
                ("attn_norm.weight", F32, [width], 1.0), ("ffn_norm.weight", F32, [width], 1.0),
                ("attn_q.weight", Q8_0, [width, width], 0.05), ("attn_q.bias", F32, [width], 0.0),
                ("attn_k.weight", Q8_0, [width, width], 0.05), ("attn_k.bias", F32, [width], 0.0),
                ("attn_v.weight", Q8_0, [width, width], 0.05), ("attn_v.bias", F32, [width], 0.0),
                ("attn_output.weight", Q8_0, [width, width], 0.05),
                ("ffn_gate.weight", Q8_0, [width, args.forward], 0.05), ("ffn_up.weight", Q8_0, [width, args.forward], 0.05),
                ("ffn_down.weight", Q8_0, [args.forward, width], 0.05)]:
            shapes.append(("blk.%d.%s" % (i, name), kind, shape, scale))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata))
    head += b"".join(text(name) + value for name, value in metadata.items())
    offset, bodies = 0, []
    for name, kind, shape, scale in shapes:
        body = tensor_bytes(kind, shape, rng, scale)
        body += b"\0" * (-len(body) % ALIGN)
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack("<%dQ" % len(shape), *shape) + struct.pack("<IQ", kind, offset)
        offset += len(body)
        bodies.append(body)
    with open(args.out, "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGN))
        for body in bodies:
            f.write(body)
    print("%s: %d tensors, %.0f MB" % (args.out, len(shapes), offset / 1e6))


if __name__ == "__main__":
    main()
