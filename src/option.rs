//! A module's options, declared once: the struct, its defaults and its reference text.
//!
//! [`options!`](crate::options) writes a struct that fills itself from TOML, refuses keys it
//! does not know, and can describe itself; `config` only collects them. The reference in the
//! README is printed from here, so it cannot be out of date.

/// One option as the reference shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The key, as written in the file.
    pub key: &'static str,
    /// The value used when the key is absent, in TOML.
    pub default: String,
    /// What it means, with its unit.
    pub doc: String,
}

/// Declares a struct of options: doc comment, key, type and default on one line each.
///
/// The struct derives `Deserialize` (unknown keys are mistakes, absent keys take their
/// default) and gets `Default` and `describe`.
#[macro_export]
macro_rules! options {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])* $(#[serde($($serde:tt)*)])? $key:ident : $type:ty = $default:expr, )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[doc = $doc])* $(#[serde($($serde)*)])? pub $key: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )* }
            }
        }

        impl $name {
            /// The reference of these options, in the order of declaration.
            pub fn describe() -> Vec<$crate::option::Described> {
                let defaults = Self::default();
                vec![ $( $crate::option::Described {
                    key: stringify!($key),
                    default: $crate::option::as_toml(&defaults.$key),
                    doc: [$($doc.trim()),*].join(" "),
                }, )* ]
            }
        }
    };
}

/// A default as it would be written in the file; empty where there is none.
pub fn as_toml<T: serde::Serialize>(value: &T) -> String {
    toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default()
}
