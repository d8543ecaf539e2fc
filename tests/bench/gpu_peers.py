"""The same work through PyTorch, where it is installed: copy, bf16 product, causal attention, a decode loop of an 8b
model's products. Lines that begin with "csv," are rows of docs/bench. Medians of events after a warm-up."""
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("PyTorch is not installed: nothing to compare with")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)

device = torch.device("cuda")


def median_ms(run, warm=3, reps=9):
    for _ in range(warm):
        run()
    torch.cuda.synchronize()
    times = []
    for _ in range(reps):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def row(case, figure, unit):
    print("%-60s %10.1f %s" % (case, figure, unit))
    print("csv,PyTorch %s,%.1f,%s,,," % (case.replace(",", ""), figure, unit))


def copy():
    a = torch.empty(1 << 30, dtype=torch.float32, device=device).normal_()
    b = torch.empty_like(a)
    row("copy", 2 * a.numel() * 4 / median_ms(lambda: b.copy_(a)) / 1e6, "GB/s")


def product():
    n = 8192
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    row("bf16 product %d cubed" % n, 2 * n**3 / median_ms(lambda: a @ b) / 1e9, "TFLOP/s")


def attention():
    for n in (4096, 16384):
        q = torch.randn(1, 32, n, 128, device=device, dtype=torch.bfloat16)
        k, v = (torch.randn(1, 32, n, 128, device=device, dtype=torch.bfloat16) for _ in range(2))
        ms = median_ms(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True))
        row("SDPA causal, %d, head 128, BF16" % n, 4 * 32 * 128 * (n * (n + 1) / 2) / ms / 1e9, "TFLOP/s")
    n = 32768
    q = torch.randn(1, 32, 1, 128, device=device, dtype=torch.float16)
    k, v = (torch.randn(1, 8, n, 128, device=device, dtype=torch.float16) for _ in range(2))
    ms = median_ms(lambda: F.scaled_dot_product_attention(q, k, v, enable_gqa=True))
    row("SDPA one token, 32k, 8 kv heads of 128, F16", 2 * k.numel() * 2 / ms / 1e6, "GB/s")


def decode():
    """The products of one token through 32 layers and the output matrix, batch 1, replayed as one graph."""
    layers = [[torch.randn(o, i, device=device, dtype=torch.bfloat16) * 0.02
               for o, i in ((6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336))] for _ in range(32)]
    head = torch.randn(128256, 4096, device=device, dtype=torch.bfloat16) * 0.02
    x = torch.randn(1, 4096, device=device, dtype=torch.bfloat16)

    def token():
        h = x
        for qkv, out, gate_up, down in layers:
            a = F.linear(h, qkv)
            h = h + F.linear(a[:, :4096], out)
            g = F.linear(h, gate_up)
            h = h + F.linear(F.silu(g[:, :14336]) * g[:, 14336:], down)
        return F.linear(h, head)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        token()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        token()
    ms = median_ms(graph.replay)
    total = sum(w.numel() for layer in layers for w in layer) + head.numel()
    row("decode 8b bf16, products only, one graph", 1e3 / ms, "tok/s")
    row("decode 8b bf16, products only, bytes", 2 * total / ms / 1e6, "GB/s")


with torch.no_grad():
    copy()
    product()
    attention()
    decode()
