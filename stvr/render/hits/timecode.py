"""Time codes as SMPTE ST 12-1 has them: hours, minutes, seconds and frames, with frame numbers dropped or not."""

from __future__ import annotations

from fractions import Fraction

NTSC = Fraction(1000, 1001)
RATES = (24 * NTSC, Fraction(24), Fraction(25), 30 * NTSC, Fraction(30), 48 * NTSC, Fraction(48), Fraction(50),
         60 * NTSC, Fraction(60), Fraction(100), 120 * NTSC, Fraction(120))  # fmt: skip
DROPPING = (30 * NTSC, 60 * NTSC)
NEAR = 2e-4  # relative, between 29.97 and 30000 / 1001, and far less than between 29.97 and 30


def standard_rate(fps: float) -> Fraction | None:
    """The rate of time codes that a file's frames a second mean; None where they are none."""
    return next((rate for rate in RATES if abs(fps - rate) <= NEAR * float(rate)), None)


def nearest_rate(fps: float) -> Fraction:
    return min(RATES, key=lambda rate: abs(float(rate) - fps))


def drops(rate: Fraction, wanted: bool | None) -> bool:
    """Whether frame numbers are dropped: as wanted, else at 29.97 and 59.94. ValueError where they cannot be."""
    if wanted and rate not in DROPPING:
        raise ValueError(f"drop-frame time code is for 29.97 and 59.94 frames a second, not for {float(rate):.6g}. "
                         "Leave --drop-frame out.")
    return rate in DROPPING if wanted is None else wanted


def timecode(frame: int, rate: Fraction, drop: bool) -> str:
    """Of a frame counted from 0; the day begins again after 24 hours. With drops, a semicolon before the frames.

    Two numbers of 30 (four of 60) are left out at the start of every minute but each tenth, so that the clock keeps up
    with a rate that is a thousandth slower.
    """
    base = round(rate)
    if drop:
        left_out = base // 15
        per_minute, per_ten = 60 * base - left_out, 600 * base - 9 * left_out
        tens, rest = divmod(frame, per_ten)
        frame += 9 * left_out * tens + left_out * max(0, (rest - left_out) // per_minute)
    seconds, frames = divmod(frame, base)
    hours, minutes = seconds // 3600 % 24, seconds // 60 % 60
    digits = len(str(base - 1))
    return f"{hours:02d}:{minutes:02d}:{seconds % 60:02d}{';' if drop else ':'}{frames:0{digits}d}"


def frame_at_clock(hours: int, rate: Fraction, drop: bool) -> int:
    """The frame at which the time code is so many whole hours."""
    base = round(rate)
    return hours * (3600 * base - (6 * 9 * (base // 15) if drop else 0))
