//! `[identity]` and `[roles]` of `refmon.toml`: who a caller can be.

use std::collections::BTreeMap;
use std::fmt;

use refmon_core::ids::{AgentId, Scope, TenantId, UserId};
use refmon_identity::Roles;
use refmon_identity::certificate::{Certificates, Mapped};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::config::closest;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Identity {
    pub(crate) kind: IdentityKind,
    pub(crate) tenant: String,
    pub(crate) user: Option<String>,
    pub(crate) agent: String,
    pub(crate) scopes: Vec<String>,
    /// Names of `[roles]`: what the local person is.
    pub(crate) roles: Vec<String>,
    /// The OpenID providers or OAuth 2.1 authorization servers whose access tokens `refmon serve` accepts: the URL of the
    /// one, or `[[identity.issuer]]` for each.
    pub(crate) issuer: Issuers,
    /// The URL of this gateway's `/mcp` as clients know it: what tokens must be made out to (RFC 8707).
    pub(crate) audience: Option<String>,
    /// The client certificates that are somebody's.
    #[serde(rename = "certificate")]
    pub(crate) certificates: Vec<Certificate>,
    // What follows is about the one issuer of the short form; among several, each has its own.
    tenant_claim: Option<String>,
    tenants: Vec<String>,
    user_claim: Option<String>,
    agent_claim: Option<String>,
    scope_claim: Option<String>,
    role_claim: Option<String>,
    algorithms: Vec<String>,
    required_claims: Vec<String>,
    leeway_seconds: Option<u64>,
}

impl Default for Identity {
    fn default() -> Self {
        let (tenant, agent) = ("local".to_owned(), "agent".to_owned());
        Self {
            kind: IdentityKind::Local,
            tenant,
            user: None,
            agent,
            scopes: Vec::new(),
            roles: Vec::new(),
            issuer: Issuers::None,
            audience: None,
            certificates: Vec::new(),
            tenant_claim: None,
            tenants: Vec::new(),
            user_claim: None,
            agent_claim: None,
            scope_claim: None,
            role_claim: None,
            algorithms: Vec::new(),
            required_claims: Vec::new(),
            leeway_seconds: None,
        }
    }
}

/// Whom `refmon serve` lets in. API keys are accepted with each but `certificates`; `wrap` is always the person at this
/// machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum IdentityKind {
    /// The person at this machine, without a credential.
    Local,
    /// Nobody without an API key.
    Keys,
    /// Access tokens of issuers.
    Oidc,
    /// Client certificates, and nothing else.
    Certificates,
}

/// The issuers, as they are spelled.
#[derive(Debug)]
pub(crate) enum Issuers {
    None,
    /// `issuer = "https://…"`
    One(String),
    /// `[[identity.issuer]]`
    Several(Vec<IssuerTable>),
}

/// One issuer, and how its claims are read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerTable {
    /// Its URL, exactly as its metadata spell it.
    pub(crate) url: String,
    /// The tenant that all its tokens are of, if no claim says it.
    pub(crate) tenant: Option<String>,
    /// The claim that names the tenant, one of `tenants`.
    pub(crate) tenant_claim: Option<String>,
    #[serde(default)]
    pub(crate) tenants: Vec<String>,
    pub(crate) user_claim: Option<String>,
    pub(crate) agent_claim: Option<String>,
    pub(crate) scope_claim: Option<String>,
    /// The claim that names roles. Without it, tokens have none.
    pub(crate) role_claim: Option<String>,
    #[serde(default)]
    pub(crate) algorithms: Vec<String>,
    #[serde(default)]
    pub(crate) required_claims: Vec<String>,
    pub(crate) leeway_seconds: Option<u64>,
}

/// A client certificate, by its name, and who holds it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    san: String,
    tenant: Option<String>,
    user: String,
    agent: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
}

/// `[roles]`: what each role grants.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct RoleTable(BTreeMap<String, Vec<String>>);

impl<'de> Deserialize<'de> for Issuers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not an untagged enum: that would answer a misspelled key with "no variant matches".
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Issuers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the URL of one issuer, or a table `[[identity.issuer]]` for each")
            }

            fn visit_str<E>(self, text: &str) -> Result<Issuers, E> {
                Ok(Issuers::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, tables: A) -> Result<Issuers, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(tables)).map(Issuers::Several)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Identity {
    /// Checks what can be checked without anything but the configuration.
    pub(crate) fn check(&self, roles: &RoleTable) -> Result<(), String> {
        let parsed = roles.parse()?;
        roles.known(&self.roles).map_err(|what| format!("[identity] roles: {what}"))?;
        for (number, certificate) in (1..).zip(&self.certificates) {
            let place = |what: String| format!("[[identity.certificate]] {number}: {what}");
            roles.known(&certificate.roles).map_err(|what| place(format!("roles: {what}")))?;
            certificate.mapped(&self.tenant, &parsed).map_err(place)?;
        }
        self.issuers().map(drop)
    }

    /// The issuers, each with its own way to be read.
    pub(crate) fn issuers(&self) -> Result<Vec<IssuerTable>, String> {
        match &self.issuer {
            Issuers::None => Ok(Vec::new()),
            Issuers::One(url) => Ok(vec![self.only(url)]),
            Issuers::Several(tables) => {
                if let Some(key) = self.misplaced() {
                    return Err(format!("[identity] `{key}` belongs into each [[identity.issuer]] that it is about"));
                }
                for (number, table) in (1..).zip(tables) {
                    let place = |what: &str| Err(format!("[[identity.issuer]] {number} ({}): {what}", table.url));
                    match (&table.tenant, &table.tenant_claim, table.tenants.is_empty()) {
                        (Some(_), None, true) | (None, Some(_), false) => {}
                        (None, Some(_), true) => {
                            return place(
                                "`tenants` must list the tenants that `tenant_claim` may name, so that no issuer speaks for those of another",
                            );
                        }
                        _ => return place("it needs either `tenant`, or `tenant_claim` and `tenants`"),
                    }
                }
                Ok(tables.clone())
            }
        }
    }

    /// The one issuer of the short form.
    fn only(&self, url: &str) -> IssuerTable {
        IssuerTable {
            url: url.to_owned(),
            tenant: self.tenant_claim.is_none().then(|| self.tenant.clone()),
            tenant_claim: self.tenant_claim.clone(),
            tenants: self.tenants.clone(),
            user_claim: self.user_claim.clone(),
            agent_claim: self.agent_claim.clone(),
            scope_claim: self.scope_claim.clone(),
            role_claim: self.role_claim.clone(),
            algorithms: self.algorithms.clone(),
            required_claims: self.required_claims.clone(),
            leeway_seconds: self.leeway_seconds,
        }
    }

    /// A key of the short form.
    fn misplaced(&self) -> Option<&'static str> {
        let keys = [
            ("tenant_claim", self.tenant_claim.is_some()),
            ("tenants", !self.tenants.is_empty()),
            ("user_claim", self.user_claim.is_some()),
            ("agent_claim", self.agent_claim.is_some()),
            ("scope_claim", self.scope_claim.is_some()),
            ("role_claim", self.role_claim.is_some()),
            ("algorithms", !self.algorithms.is_empty()),
            ("required_claims", !self.required_claims.is_empty()),
            ("leeway_seconds", self.leeway_seconds.is_some()),
        ];
        keys.into_iter().find_map(|(key, there)| there.then_some(key))
    }

    /// The client certificates that are somebody's.
    pub(crate) fn certificates(&self, roles: &Roles) -> Result<Certificates, String> {
        let mapped = self.certificates.iter().map(|certificate| certificate.mapped(&self.tenant, roles));
        let mapped = mapped.collect::<Result<Vec<_>, _>>()?;
        if mapped.is_empty() {
            return Err(
                "[identity] kind = \"certificates\" needs an [[identity.certificate]] for each caller".to_owned()
            );
        }
        Certificates::new(mapped).map_err(|error| format!("[[identity.certificate]] {error}"))
    }
}

impl Certificate {
    fn mapped(&self, tenant: &str, roles: &Roles) -> Result<Mapped, String> {
        let tenant = self.tenant.as_deref().unwrap_or(tenant);
        let mut scopes = parse_scopes(&self.scopes)?;
        scopes.extend(roles.expand(self.roles.iter().map(String::as_str)));
        Ok(Mapped {
            san: self.san.clone(),
            tenant: TenantId::parse(tenant).map_err(|error| format!("tenant: {error}"))?,
            user: UserId::parse(&self.user).map_err(|error| format!("user: {error}"))?,
            agent: AgentId::parse(&self.agent).map_err(|error| format!("agent: {error}"))?,
            scopes,
        })
    }
}

impl RoleTable {
    /// The roles, if each has a name and scopes that are some.
    pub(crate) fn parse(&self) -> Result<Roles, String> {
        let role = |(name, scopes): (&String, &Vec<String>)| {
            let place = |what: String| format!("[roles] {}: {what}", refmon_core::untrusted::Shown(name));
            // A name in a token's text ends at a space; a scope's alphabet is that of all identifiers.
            Scope::parse(name).map_err(|error| place(error.to_string()))?;
            if scopes.is_empty() {
                return Err(place("it grants nothing; list its scopes, or take it out".to_owned()));
            }
            Ok((name.clone(), parse_scopes(scopes).map_err(place)?))
        };
        Ok(Roles::new(self.0.iter().map(role).collect::<Result<Vec<_>, _>>()?))
    }

    /// Whether each of these is a role. For names that the operator writes, not for those that a credential brings.
    pub(crate) fn known(&self, names: &[String]) -> Result<(), String> {
        match names.iter().find(|name| !self.0.contains_key(*name)) {
            None => Ok(()),
            Some(name) => {
                let nearest = closest(name, self.0.keys().map(String::as_str));
                Err(format!("there is no role `{}` in [roles]{nearest}", refmon_core::untrusted::Shown(name)))
            }
        }
    }
}

pub(crate) fn parse_scopes(texts: &[String]) -> Result<Vec<Scope>, String> {
    texts.iter().map(|text| Scope::parse(text).map_err(|error| format!("scopes: {error}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, String> {
        let text = format!("version = 1\n{text}");
        Config::parse(Path::new("refmon.toml"), &text).map_err(|error| error.to_string())
    }

    #[test]
    fn one_issuer_is_a_line_and_several_are_tables() {
        let issuers = |text: &str| parse(text).unwrap().identity.issuers().unwrap();
        let short = issuers("[identity]\nissuer = \"https://a.example\"\ntenant = \"acme\"\nrole_claim = \"groups\"");
        assert_eq!((short.len(), short[0].url.as_str()), (1, "https://a.example"));
        assert_eq!((short[0].tenant.as_deref(), short[0].role_claim.as_deref()), (Some("acme"), Some("groups")));
        let a = "[[identity.issuer]]\nurl = \"https://a.example\"\ntenant = \"acme\"";
        let b = "[[identity.issuer]]\nurl = \"https://b.example\"\ntenant_claim = \"org\"\ntenants = [\"beta\"]";
        let both = issuers(&format!("{a}\n{b}"));
        assert_eq!(
            both.iter().map(|issuer| issuer.url.as_str()).collect::<Vec<_>>(),
            ["https://a.example", "https://b.example"]
        );
    }

    #[test]
    fn an_issuer_that_is_half_configured_stops_the_start() {
        let table = |lines: &str| format!("[[identity.issuer]]\nurl = \"https://a.example\"\n{lines}");
        for (text, says) in [
            (table(""), "either `tenant`, or"),
            (table("tenant = \"a\"\ntenant_claim = \"org\"\ntenants = [\"a\"]"), "either `tenant`, or"),
            (table("tenant_claim = \"org\""), "must list the tenants"),
            (table("tenant = \"a\"\ntenant_clam = \"org\""), "did you mean `tenant_claim`?"),
            (table("tenant = \"a\"\naudience = \"https://r.example\""), "unknown field `audience`"),
            (
                format!("[identity]\nscope_claim = \"scp\"\n{}", table("tenant = \"a\"")),
                "`scope_claim` belongs into each",
            ),
            ("[[identity.issuer]]\ntenant = \"a\"".to_owned(), "`url`"),
            ("[identity]\nissuer = 3".to_owned(), "[[identity.issuer]]"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn roles_are_checked_when_the_configuration_is_read() {
        let roles = "[roles]\nreader = [\"files:read\"]\n";
        assert!(parse(&format!("{roles}[identity]\nroles = [\"reader\"]")).is_ok());
        for (text, says) in [
            ("[roles]\nreader = \"files:read\"".to_owned(), "sequence"),
            ("[roles]\nreader = []".to_owned(), "grants nothing"),
            ("[roles]\nreader = [\"a b\"]".to_owned(), "[roles] reader: scopes"),
            ("[roles]\n\"a b\" = [\"x\"]".to_owned(), "[roles] a b"),
            (format!("{roles}[identity]\nroles = [\"raeder\"]"), "did you mean `reader`?"),
            (
                format!(
                    "{roles}[[identity.certificate]]\nsan = \"spiffe://a/b\"\nuser = \"u\"\nagent = \"a\"\nroles = [\"x\"]"
                ),
                "[[identity.certificate]] 1: roles",
            ),
            ("[[identity.certificate]]\nsan = \"spiffe://a/b\"\nuser = \"\"\nagent = \"a\"".to_owned(), "user"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
