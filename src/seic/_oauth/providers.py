"""The three providers that seic knows by name; a user's own is another `Provider` value."""

from __future__ import annotations

from seic._model.grants import SAML2_BEARER
from seic._model.hosts import Hosts
from seic._model.provider import Provider
from seic._oauth.client_auth import ClientSecretBasic, ClientSecretPost

_SEI_ENVIRONMENTS = {
    "production": Hosts(api="api.seic.com", mtls="mtls.api.seic.com"),
    # SEI's documents name no mutual-TLS host for tests.
    "test": Hosts(api="test.api.seic.com"),
}

#: SEI's API gateway, `POST /v2/oauthtoken`.
SEI_GATEWAY = Provider(
    name="SEI gateway",
    token_url="/v2/oauthtoken",
    environments=_SEI_ENVIRONMENTS,
    grants=frozenset({"client_credentials", "password", "refresh_token", "sessionToken"}),
    # Its documents give Base64(AppKey:AppSecret) without encoding: the pair is sent raw. For the keys of its portal,
    # letters and digits, both are the same bytes.
    client_authentication=ClientSecretBasic(form_encoded=False),
    client_id_header="AppKey",
    # "The CN of the client certificate is the service account's username" (SEI's developer portal).
    common_name_is_username=True,
    username_field="username",
    tracking_header="requesttrackingid",
    # Its 401s about the token say so.
    bare_401_means_token=False,
    # "60 minutes active time to live and 30 minutes inactive" (SEI's authorization guide).
    idle_lifetime=1800,
    invalidate_grant_type="invalidate_token",
)

#: The SEI platform, `/v2/oauth/*`. SEI's documents name no host of its own: it is the gateway's, unless `hosts` is set.
SEI_PLATFORM = Provider(
    name="SEI platform",
    token_url="/v2/oauth/token",
    environments=_SEI_ENVIRONMENTS,
    grants=frozenset({"authorization_code", "client_credentials", "refresh_token", SAML2_BEARER}),
    client_authentication=ClientSecretPost(),
    # A certificate's CN is the account's username; the platform identifies the account by its email address.
    common_name_is_username=False,
    username_field="email",
    end_other_sessions_field="endOtherSessions",
    tracking_header="requesttrackingid",
    # Its 401s about the token say so.
    bare_401_means_token=False,
    authorize_url="/v2/oauth/authorize",
    authorize_scope="ilservices",
    # Its documents write redirect_uri, too; the authorization guide has this one.
    redirect_field="redirect_url",
    redirect_on_token_call=False,
    # Its documents mention no code challenge.
    takes_pkce=False,
    code_lifetime=20,
    token_info_url="/v2/oauth/tokeninfo",
    # Revocation is documented, its path is not.
    revocation_url=None,
    revocation_refresh_field="refresh_token",
    # "cascade": "true" in the reply: revoking either token revokes the other.
    revocation_cascades=True,
)

#: A plain OAuth 2.0 provider whose tokens are JWTs, `POST /oauth/v2/token`; it needs `hosts`.
OAUTH2 = Provider(
    name="OAuth 2.0 provider",
    token_url="/oauth/v2/token",
)
