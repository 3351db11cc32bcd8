//! `refmon key`: API keys for `refmon serve`.

use anyhow::Result;
use refmon_core::ids::{AgentId, IdError, Scope, TenantId, UserId};
use refmon_core::ports::Clock as _;
use refmon_gateway::system::System;
use refmon_identity::api_key::{KeyId, KeyRecord, NewKey};
use serde_json::{Value, json};

use crate::args::{Arguments, KeyCommand, KeyOptions};
use crate::config::ConfigError;
use crate::home::Home;
use crate::output::{Answer, Output, table, time};

const DAY: u64 = 24 * 60 * 60;

pub(crate) fn run(arguments: &Arguments, command: &KeyCommand, output: Output) -> Result<Answer> {
    let home = Home::open(arguments)?;
    let keys = home.api_keys()?;
    let now = System::new().now();
    match command {
        KeyCommand::Add(options) => {
            let new = new(&home, options, now.unix_us / 1_000_000)?;
            let (id, secret) = keys.issue(new, now)?;
            // The one place where the secret is shown; nothing of it is kept.
            let secret = secret.expose();
            output.result(&json!({ "id": id.to_string(), "key": secret }), || {
                format!("{secret}\n\nThis is shown once. Send it as `Authorization: Bearer KEY`. To revoke it: refmon key revoke {id}")
            });
        }
        KeyCommand::List => {
            let found = keys.list()?;
            let rows: Vec<Value> = found.iter().map(value).collect();
            output.result(&json!(rows), || {
                let rows = found.iter().map(|key| row(key, now.unix_us / 1_000_000));
                table(&["id", "tenant", "user", "agent", "scopes", "roles", "expires", "state"], rows)
            });
        }
        KeyCommand::Revoke { id } => {
            let id = KeyId::parse(id)
                .ok_or_else(|| ConfigError::new("this is not the identifier of a key; see `refmon key list`"))?;
            keys.revoke(id, now)?;
            output.result(&json!({ "revoked": id.to_string() }), || "revoked; it works nowhere any more".to_owned());
        }
    }
    Ok(Answer::Yes)
}

fn new(home: &Home, options: &KeyOptions, now: u64) -> Result<NewKey> {
    let wrong = |what: &str, error: IdError| ConfigError::new(format!("--{what}: {error}"));
    let tenant = options.tenant.as_deref().unwrap_or(&home.config.identity.tenant);
    let scopes = options.scopes.iter().map(|scope| Scope::parse(scope).map_err(|error| wrong("scope", error)));
    home.config.roles.known(&options.roles).map_err(|what| ConfigError::new(format!("--role: {what}")))?;
    Ok(NewKey {
        tenant: TenantId::parse(tenant).map_err(|error| wrong("tenant", error))?,
        user: UserId::parse(&options.user).map_err(|error| wrong("user", error))?,
        agent: AgentId::parse(&options.agent).map_err(|error| wrong("agent", error))?,
        scopes: scopes.collect::<Result<_, _>>()?,
        roles: options.roles.clone(),
        expires: now.saturating_add(options.days.saturating_mul(DAY)),
    })
}

fn value(key: &KeyRecord) -> Value {
    json!({
        "id": key.id.to_string(), "tenant": key.tenant.as_str(), "user": key.user.as_str(), "agent": key.agent.as_str(),
        "scopes": key.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "roles": key.roles,
        "created": time(key.created.saturating_mul(1_000_000)), "expires": time(key.expires.saturating_mul(1_000_000)),
        "revoked": key.revoked.map(|at| time(at.saturating_mul(1_000_000))),
    })
}

fn row(key: &KeyRecord, now: u64) -> Vec<String> {
    let scopes: Vec<&str> = key.scopes.iter().map(Scope::as_str).collect();
    let state = match key.revoked {
        Some(_) => "revoked",
        None if key.expires <= now => "expired",
        None => "works",
    };
    let (tenant, user, agent) = (key.tenant.to_string(), key.user.to_string(), key.agent.to_string());
    vec![
        key.id.to_string(),
        tenant,
        user,
        agent,
        scopes.join(" "),
        key.roles.join(" "),
        time(key.expires.saturating_mul(1_000_000)),
        state.into(),
    ]
}
