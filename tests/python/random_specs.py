"""Random specifications: every mode, normalisation and flag, and odd, repeated and zero multiplicities."""
import random

MODES = ("uvw", "uvu", "uvv", "uuw", "uuu", "uvuv", "uvu<v", "u<vw")
EQUAL_INPUTS = ("uuw", "uuu", "uvu<v", "u<vw")
ALWAYS_WEIGHTED = ("uvw", "u<vw")


def random_spec(seed, dtype):
    """The specification with this seed, a dictionary in the JSON form of docs/spec.md."""
    return SpecBuilder(random.Random(seed), f"random-{seed}", dtype).build()


class SpecBuilder:
    def __init__(self, rng, name, dtype):
        self.rng, self.name, self.dtype = rng, name, dtype
        # Few multiplicities a specification, so that segments often fit the modes that need equal ones.
        self.multiplicities = rng.sample([1, 2, 3, 4, 5, 7, 8, 9, 10, 17, 33], 2)
        self.max_l = rng.choices([1, 2, 3, 4, 6], [2, 4, 4, 2, 1])[0]
        self.in1, self.in2, self.out = self.segments(), self.segments(), []

    def segments(self):
        return [self.segment() for _ in range(self.rng.randint(1, 3))]

    def segment(self):
        l = min(self.rng.randint(0, self.max_l), self.rng.randint(0, self.max_l) + 1)
        return self.multiplicity(), l, self.rng.choice("eo")

    def multiplicity(self):
        return 0 if self.rng.random() < 0.06 else self.rng.choice(self.multiplicities)

    def build(self):
        instructions = [self.instruction() for _ in range(self.rng.randint(1, 5))]
        if self.rng.random() < 0.3:  # a segment that no instruction writes
            self.out.insert(len(self.out), self.segment())
        spec = {
            "name": self.name, "instructions": instructions, "dtype": self.dtype,
            **{f"irreps_{k}": "+".join(f"{m}x{l}{p}" for m, l, p in v)
               for k, v in (("in1", self.in1), ("in2", self.in2), ("out", self.out))},
            "shared_weights": self.rng.random() < 0.4, "convolution": self.rng.random() < 0.5,
            "irrep_normalization": self.rng.choice(["component", "norm", "none"]),
            "path_normalization": self.rng.choice(["element", "path", "none"]),
        }
        for key, segments in (("in1_var", self.in1), ("in2_var", self.in2), ("out_var", self.out)):
            if self.rng.random() < 0.3:
                spec[key] = [self.rng.choice([0.25, 1.0, 1.7]) for _ in segments]
        for operand in ("in1", "in2", "out"):
            if self.rng.random() < 0.15:
                spec[f"layout_{operand}"] = "ir_mul"
        return spec

    def instruction(self):
        """One that is valid: modes are drawn until one fits segments of both inputs."""
        while True:
            mode = self.rng.choice(MODES)
            pairs = [(i, j) for i, a in enumerate(self.in1) for j, b in enumerate(self.in2)
                     if mode not in EQUAL_INPUTS or a[0] == b[0]]
            if pairs:
                break
        i, j = self.rng.choice(pairs)
        weighted = mode in ALWAYS_WEIGHTED or self.rng.random() < 0.6
        k = self.output(mode, weighted, self.in1[i], self.in2[j])
        instruction = [i, j, k, mode, weighted]
        if self.rng.random() < 0.4:
            instruction.append(self.rng.choice([0.0, 0.25, 0.5, 2.0, 3.3]))
        return instruction

    def output(self, mode, weighted, a, b):
        """Index of an output segment for this path, an existing one about every other time."""
        (m1, l1, p1), (m2, l2, p2) = a, b
        parity = "e" if p1 == p2 else "o"
        fixed = {"uvu": m1, "uvv": m2, "uuu": m1, "uvuv": m1 * m2, "uvu<v": m1 * (m1 - 1) // 2}.get(mode)
        if mode == "uuw" and not weighted:
            fixed = 1
        fits = [k for k, (m, l, p) in enumerate(self.out)
                if p == parity and abs(l1 - l2) <= l <= l1 + l2 and (fixed is None or m == fixed)]
        if fits and self.rng.random() < 0.6:
            return self.rng.choice(fits)
        l = self.rng.randint(abs(l1 - l2), min(l1 + l2, max(self.max_l, abs(l1 - l2))))
        self.out.append((self.multiplicity() if fixed is None else fixed, l, parity))
        return len(self.out) - 1
