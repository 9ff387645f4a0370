//! The clouds that Azure is.

/// Where a cloud is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cloud {
    /// Where tokens are.
    pub(super) login: &'static str,
    /// Where the API begins.
    pub(super) api: &'static str,
    /// What a token has to be good for.
    pub(super) audience: &'static str,
}

const PUBLIC: Cloud = Cloud {
    login: "https://login.microsoftonline.com",
    api: "https://management.azure.com",
    audience: "https://management.core.windows.net/",
};
const CHINA: Cloud = Cloud {
    login: "https://login.chinacloudapi.cn",
    api: "https://management.chinacloudapi.cn",
    audience: "https://management.core.chinacloudapi.cn",
};
const GOVERNMENT: Cloud = Cloud {
    login: "https://login.microsoftonline.us",
    api: "https://management.usgovcloudapi.net",
    audience: "https://management.core.usgovcloudapi.net",
};

/// There is none of this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no cloud configuration matching the name {0:?}")]
pub(super) struct UnknownCloud(String);

impl Cloud {
    /// In any case of letters.
    pub(super) fn named(name: &str) -> Result<Self, UnknownCloud> {
        let upper = name.to_uppercase();
        match upper.as_str() {
            // What there was in Germany is gone.
            "AZURECLOUD" | "AZUREPUBLICCLOUD" | "AZUREGERMANCLOUD" => Ok(PUBLIC),
            "AZURECHINACLOUD" => Ok(CHINA),
            "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => Ok(GOVERNMENT),
            _ => Err(UnknownCloud(upper)),
        }
    }
}
