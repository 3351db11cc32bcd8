//! The doors through which calls come, and who enforces what is decided there.

/// Through which door a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// MCP over standard input and output.
    McpStdio,
    /// MCP over HTTP.
    McpHttp,
    /// The Rust library, called in process.
    Library,
    /// The decision API (OpenID AuthZEN).
    Access,
    /// The API for hosts that say how the call ended.
    Calls,
}

/// Who keeps a call from running that was not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EnforcedBy {
    /// refmon: the call can reach its tool in no other way.
    Refmon,
    /// Whoever asked. refmon decides and records, and believes what it is told.
    Asker,
}

impl EnforcedBy {
    /// The name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refmon => "refmon",
            Self::Asker => "caller",
        }
    }
}

impl Door {
    /// The door's name in records and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::McpStdio => "mcp-stdio",
            Self::McpHttp => "mcp-http",
            Self::Library => "library",
            Self::Access => "access",
            Self::Calls => "calls",
        }
    }

    /// Who enforces what is decided at this door.
    #[must_use]
    pub const fn enforced_by(self) -> EnforcedBy {
        match self {
            Self::McpStdio | Self::McpHttp => EnforcedBy::Refmon,
            Self::Library | Self::Access | Self::Calls => EnforcedBy::Asker,
        }
    }
}
