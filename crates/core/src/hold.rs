//! What has become of a call that waits for a person.

/// The state of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    /// It waits for a decision.
    Pending,
    /// It may be used once, by the identical call.
    Approved,
    /// A person said no.
    Denied,
    /// The approved call was let through.
    Spent,
    /// Nobody decided, or nobody used the approval, in time.
    Expired,
}

impl HoldState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Denied, Self::Spent, Self::Expired];

    /// The state's name in output and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Spent => "spent",
            Self::Expired => "expired",
        }
    }

    /// Finds the state by its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
