//! Options by their names: structs of options, each declared once with its setter and its name in JSON,
//! and the choices that some of them are.

/// Declares a struct of options. Every field is optional; JSON has the names of the fields and refuses
/// others. Setters take `impl Into<String>` for a `String` and any list of such for a `(Vec<String>)`,
/// else the type itself, which stands in parentheses where it is more than one word.
macro_rules! options {
    (@setter $field:ident String) => {
        $crate::fields::options!(@setter $field, value: impl Into<String>, value.into());
    };
    (@setter $field:ident (Vec<String>)) => {
        $crate::fields::options!(@setter $field, values: impl IntoIterator<Item = impl Into<String>>,
            values.into_iter().map(Into::into).collect());
    };
    (@setter $field:ident $kind:tt) => {
        $crate::fields::options!(@setter $field, value: $crate::fields::options!(@kind $kind), value);
    };
    (@setter $field:ident, $value:ident: $argument:ty, $set:expr) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $value: $argument) -> Self {
            self.$field = Some($set);
            self
        }
    };
    (@kind ($($kind:tt)+)) => { $($kind)+ };
    (@kind $kind:ident) => { $kind };
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])+ $field:ident: $kind:tt,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            $(
                $(#[$doc])+
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$crate::fields::options!(@kind $kind)>,
            )+
        }

        impl $name {
            $($crate::fields::options!(@setter $field $kind);)+
        }
    };
}

/// Declares an enum of named choices, with the same names in JSON, `Display` and `FromStr`. Names
/// are read in any case, and aliases follow after `|`. Errors call the option `$option`.
macro_rules! choices {
    ($(#[$about:meta])* $name:ident, $option:literal {
        $($(#[$doc:meta])+ $variant:ident = $text:literal $(| $alias:literal)*,)+
    }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        $(#[$about])*
        pub enum $name {
            $($(#[$doc])+ #[serde(rename = $text $(, alias = $alias)*)] $variant,)+
        }

        impl $name {
            /// Every choice.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            pub(crate) const NAMES: &'static [&'static str] = &[$($text),+];

            /// The name, as in Python and JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::error::Error;

            fn from_str(name: &str) -> $crate::error::Result<Self> {
                $(
                    if [$text $(, $alias)*].iter().any(|known| known.eq_ignore_ascii_case(name)) {
                        return Ok(Self::$variant);
                    }
                )+
                let reason = $crate::error::none_of(name, Self::NAMES);
                Err($crate::error::Error::option($option, reason))
            }
        }
    };
}

pub(crate) use choices;
pub(crate) use options;
