//! Colours that can be read, whatever an organisation's house style says.

/// What a colour stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Paper.
    Light,
    /// A dark screen.
    Dark,
}

impl Ground {
    /// The page's own colour.
    const fn colour(self) -> Rgb {
        match self {
            Self::Light => Rgb(255, 255, 255),
            Self::Dark => Rgb(0x1c, 0x1d, 0x21),
        }
    }

    /// Away from it there is contrast.
    const fn far(self) -> Rgb {
        match self {
            Self::Light => Rgb(0, 0, 0),
            Self::Dark => Rgb(255, 255, 255),
        }
    }
}

/// The colour, moved away from the ground in small steps until its contrast is enough.
pub fn readable(text: &str, ground: Ground) -> String {
    let wished = parse(text).unwrap_or(OURS);
    let chosen = (0..=STEPS)
        .map(|step| mix(wished, ground.far(), step))
        .find(|&colour| contrast(colour, ground.colour()) >= ENOUGH)
        .unwrap_or(ground.far());
    format!("#{:02x}{:02x}{:02x}", chosen.0, chosen.1, chosen.2)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rgb(u8, u8, u8);

fn parse(text: &str) -> Option<Rgb> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    let [_, red, green, blue] = number.to_be_bytes();
    Some(Rgb(red, green, blue))
}

fn mix(from: Rgb, to: Rgb, step: u16) -> Rgb {
    let channel = |a: u8, b: u8| u8::try_from((u16::from(a) * (STEPS - step) + u16::from(b) * step) / STEPS).unwrap_or(b);
    Rgb(channel(from.0, to.0), channel(from.1, to.1), channel(from.2, to.2))
}

/// WCAG 2.2, definition of contrast ratio.
fn contrast(a: Rgb, b: Rgb) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// WCAG 2.2, definition of relative luminance.
fn luminance(colour: Rgb) -> f64 {
    let linear = |channel: u8| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(colour.0) + 0.7152 * linear(colour.1) + 0.0722 * linear(colour.2)
}

/// The red of the seal.
const OURS: Rgb = Rgb(0x9c, 0x2a, 0x2a);
/// WCAG 2.2, 1.4.3, with a margin for text that lies on a tint of the ground.
const ENOUGH: f64 = 5.0;
const STEPS: u16 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accent_becomes_readable_on_both_grounds() {
        for accent in ["#ffffff", "#000000", "#ffff00", "#1c1d21", "#9c2a2a", "#00ff88", "red", "", "#é2345"] {
            for ground in [Ground::Light, Ground::Dark] {
                let colour = parse(&readable(accent, ground)).unwrap();
                assert!(contrast(colour, ground.colour()) >= ENOUGH, "{accent} {ground:?} {colour:?}");
            }
        }
    }

    #[test]
    fn a_colour_that_is_readable_stays_as_it_is() {
        assert_eq!(readable("#1a4f8a", Ground::Light), "#1a4f8a");
    }
}
