//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::log::Format;

/// A reference monitor for tool-using AI agents: every tool call is judged, recorded, and only then made.
#[derive(Debug, Parser)]
#[command(name = "refmon", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The configuration file [default: REFMON_CONFIG, then refmon.toml here, then the user's folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at the tools of a server, or of all servers of a client, and write a configuration, contracts and starter
    /// policies
    Init(InitOptions),
    /// Run one MCP server over standard input and output behind the monitor
    Wrap(WrapOptions),
    /// Run all servers of the configuration behind one HTTP endpoint, and answer hosts that ask for decisions
    Serve(ServeOptions),
    /// Ask a running `refmon serve` whether calls can be recorded, for health checks
    Ready,
    /// Judge one call from a file, without recording or making it
    Check {
        /// A JSON file: {"server": "…", "tool": "…", "arguments": {…}, "approvals": […]}; `-` reads standard input
        call: PathBuf,
    },
    /// Say why a recorded call was decided as it was
    Explain {
        /// The call's identifier, as a denial or `refmon audit tail` prints it
        record: String,
    },
    /// Check and test policies
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Compare a server's tools with their contract
    Contract {
        #[command(subcommand)]
        command: ContractCommand,
    },
    /// Issue and revoke API keys for `refmon serve`
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Decide on calls that wait for a person
    Holds {
        /// The tenant whose calls wait [default: that of the configuration]
        #[arg(long, global = true)]
        tenant: Option<String>,
        #[command(subcommand)]
        command: HoldsCommand,
    },
    /// Give a caller scopes for a time
    Grant {
        /// The tenant [default: that of the configuration]
        #[arg(long, global = true)]
        tenant: Option<String>,
        #[command(subcommand)]
        command: GrantCommand,
    },
    /// Deny every call from now on, in every process
    Halt {
        /// This tenant's calls only
        #[arg(long)]
        tenant: Option<String>,
        /// Why, for people; it is kept until the halt ends, and not in the evidence
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End what `refmon halt` began
    Resume {
        /// The halt of this tenant only
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Read and verify the evidence
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Say which promises hold on this machine, and which do not
    Doctor,
    /// Ends a server with its monitor; started by `wrap`
    #[command(hide = true)]
    Keep {
        monitor: u32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitOptions {
    /// The server's name in the configuration [default: from the command]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Take all servers of an MCP client's configuration file, which is only read
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "server", "url"])]
    pub(crate) from: Option<PathBuf>,
    /// Take the server that is reached at this URL
    #[arg(long, conflicts_with = "server")]
    pub(crate) url: Option<String>,
    /// A header for the URL, its secret by reference, such as `Authorization=env://TOKEN`; repeat it for more
    #[arg(long = "header", value_name = "NAME=VALUE", requires = "url")]
    pub(crate) headers: Vec<String>,
    /// The URL, or those of the file, may lead to this machine or into a private network
    #[arg(long)]
    pub(crate) private: bool,
    /// Start the command, or the commands, without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// The server's command and arguments
    #[arg(last = true, required_unless_present_any = ["from", "url"], value_name = "CMD")]
    pub(crate) server: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct WrapOptions {
    /// The server's name in the configuration [default: the server with this command, or the only one]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The server's command and arguments [default: those of the configuration]
    #[arg(last = true, value_name = "CMD")]
    pub(crate) server: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// How standard error looks [default: `[log] format`, else text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log: Option<Format>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Type-check and lint contracts and policies, and say what policy cannot see
    Check,
    /// Print the policies of a pack
    Show {
        /// The pack's name, such as baseline
        pack: String,
    },
    /// Run tables of cases from TOML files
    Test {
        /// The files [default: *.test.toml in the policy folder]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContractCommand {
    /// Show what a server lists that its contract was not made for
    Diff {
        /// The server's name
        server: String,
    },
    /// Take what the server lists now as what the contract is made for
    Accept {
        /// The server's name
        server: String,
        /// Accept without asking
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Issue a key and print it once
    Add(KeyOptions),
    /// List the keys, without their secrets
    List,
    /// Revoke a key, at once and for good
    Revoke {
        /// The key's identifier, as `refmon key list` prints it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct KeyOptions {
    /// The person for whom the agent acts
    #[arg(long)]
    pub(crate) user: String,
    /// The agent
    #[arg(long, default_value = "agent")]
    pub(crate) agent: String,
    /// The tenant [default: that of the configuration]
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// A scope that the key grants; repeat it for more
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// A role of `[roles]` that the key has; repeat it for more
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    /// Days until the key expires, at most 365
    #[arg(long, default_value_t = 90)]
    pub(crate) days: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// Give scopes; they end by themselves
    Add(GrantOptions),
    /// List the grants in force
    List {
        /// Those that have ended or were revoked, too
        #[arg(long)]
        all: bool,
    },
    /// Take a grant back, at once and for good
    Revoke {
        /// The grant's identifier, as `refmon grant list` prints it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GrantOptions {
    /// The person for whom agents act
    #[arg(long)]
    pub(crate) user: String,
    /// Through this agent only [default: any agent of the person]
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// A scope to give; repeat it for more
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub(crate) scopes: Vec<String>,
    /// For how long: 90s, 30m, 2h, 3d; at most 30 days
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) time: String,
    /// Why, for people; the evidence has a commitment to it, not the text
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HoldsCommand {
    /// List the calls that wait
    List {
        /// Those that are decided, too
        #[arg(long)]
        all: bool,
    },
    /// Show one hold: who, what, with which arguments, why
    Show {
        /// The hold's identifier
        id: String,
    },
    /// Let exactly this call run once
    Approve {
        /// The hold's identifier
        id: String,
        /// Why, for people; it is kept with the hold, and not in the evidence
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Refuse this call until its hold is over
    Deny {
        /// The hold's identifier
        id: String,
        /// Why, for people; it is kept with the hold, and not in the evidence
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Say how much is asked of people, and what they say
    Figures,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Print the newest records
    Tail {
        /// Go on printing new ones
        #[arg(long)]
        follow: bool,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        lines: usize,
    },
    /// Find records
    Search(SearchOptions),
    /// Show everything about one call
    Show {
        /// The call's identifier
        call: String,
    },
    /// Verify the whole journal: checksums, hash chain, counters, an end for every call
    Verify,
    /// Report the structure of the journal, and what a recovery would do
    Fsck,
}

#[derive(Debug, Args)]
pub(crate) struct SearchOptions {
    /// The tenant whose records are looked at [default: that of the configuration]
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// permit, hold or deny
    #[arg(long)]
    pub(crate) decision: Option<String>,
    /// A reason code, such as policy.no-permit
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// A server
    #[arg(long)]
    pub(crate) server: Option<String>,
    /// A tool or protocol method
    #[arg(long)]
    pub(crate) tool: Option<String>,
    /// An agent
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// attempt, completion, indeterminate, resolution, notice or act
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Not before: a date or an RFC 3339 time
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// At most this many, the newest
    #[arg(long, short = 'n', default_value_t = 100)]
    pub(crate) limit: u32,
}
