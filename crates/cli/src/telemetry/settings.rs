//! `[telemetry]` of `refmon.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::check_value;
use crate::secrets;

/// Where traces go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The URL of an OTLP collector's traces (`http/json`). Without it there are none.
    pub(crate) traces: Option<String>,
    /// What is sent with every document, secrets by reference.
    pub(crate) headers: BTreeMap<String, String>,
    /// Whether the way to a collector on another machine is private, and may do without encryption.
    pub(crate) private: bool,
}

impl Settings {
    /// Looks at what needs no lookup.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = |what: String| format!("[telemetry] {what}");
        match &self.traces {
            Some(url) if secrets::literal("traces", url) => {
                return Err(wrong(
                    "`traces` has a secret in it; put it into the environment, and into `headers` as a reference"
                        .to_owned(),
                ));
            }
            None if !self.headers.is_empty() || self.private => {
                return Err(wrong("`headers` and `private` are for `traces`, which is not set".to_owned()));
            }
            _ => {}
        }
        self.headers.iter().try_for_each(|(name, value)| check_value(name, value)).map_err(wrong)
    }

    /// Where traces go, for people, without what stands behind a `?`.
    pub(crate) fn shown(&self) -> Option<&str> {
        self.traces.as_deref().map(|url| url.split('?').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    #[test]
    fn a_collectors_credential_is_a_reference() {
        let parse = |lines: &str| {
            let text = format!("version = 1\n[telemetry]\n{lines}\n");
            Config::parse(Path::new("refmon.toml"), &text).map(|config| config.telemetry.shown().map(str::to_owned))
        };
        let url = "traces = \"http://127.0.0.1:4318/v1/traces?x=1\"";
        assert_eq!(parse(url).unwrap().as_deref(), Some("http://127.0.0.1:4318/v1/traces"));
        assert!(parse(&format!("{url}\nheaders = {{ Authorization = \"env://OTLP_AUTHORIZATION\" }}")).is_ok());
        for (lines, says) in [
            (format!("{url}\nheaders = {{ Authorization = \"Bearer canary\" }}"), "looks like a secret"),
            ("headers = { X = \"y\" }".to_owned(), "not set"),
            ("traces = \"http://u:canary@h/\"".to_owned(), "secret"),
            ("trace = \"http://h/\"".to_owned(), "did you mean `traces`?"),
        ] {
            let error = parse(&lines).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("canary"), "{error}");
        }
    }
}
