//! Style and mark, under names that change with their content, so that they may be kept for ever.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::page::overridden;
use crate::mistake::Mistake;
use crate::words::{Brand, Ground};

/// One file.
#[derive(Debug)]
pub struct Asset {
    /// Its path on our host.
    pub path: String,
    /// Its type.
    pub media_type: &'static str,
    /// Its content.
    pub content: String,
}

/// Style first, mark second.
pub fn all(brand: &Brand, overrides: Option<&Path>) -> Result<(Asset, Asset), Mistake> {
    let style = overridden(overrides, "assets/style.css", include_str!("../../assets/style.css"))?;
    let mark = overridden(overrides, "assets/mark.svg", include_str!("../../assets/mark.svg"))?;
    let (light, dark) = (brand.accent_on(Ground::Light), brand.accent_on(Ground::Dark));
    let style = format!(":root{{--accent-light:{light};--accent-dark:{dark}}}\n{style}");
    Ok((asset("style.css", "text/css; charset=utf-8", style), asset("mark.svg", "image/svg+xml", mark)))
}

fn asset(name: &str, media_type: &'static str, content: String) -> Asset {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(content.as_bytes()));
    Asset { path: format!("/assets/{}-{name}", digest.get(..16).unwrap_or(&digest)), media_type, content }
}
