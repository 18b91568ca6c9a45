"""The three dialects that seic knows by name, as data; a fourth is one more value, here or in a user's own code."""

from __future__ import annotations

from seic._model.grants import SAML2_BEARER
from seic._model.hosts import Hosts
from seic._model.provider import Provider
from seic._oauth.client_auth import ClientSecretBasic, ClientSecretPost

_SEI_ENVIRONMENTS = {
    "production": Hosts(api="api.seic.com", mtls="mtls.api.seic.com"),
    # No document names a mutual-TLS host for tests.
    "test": Hosts(api="test.api.seic.com"),
}

#: SEI's API gateway, `POST /v2/oauthtoken`.
SEI_GATEWAY = Provider(
    name="SEI gateway",
    token_url="/v2/oauthtoken",
    environments=_SEI_ENVIRONMENTS,
    grants=frozenset({"client_credentials", "password", "refresh_token", "sessionToken"}),
    # Its documents give Base64(AppKey:AppSecret) and know of no encoding before it: the pair goes raw. For the keys
    # that its portal hands out, letters and digits, the two readings are the same bytes.
    client_authentication=ClientSecretBasic(form_encoded=False),
    client_id_header="AppKey",
    # "The CN of the client certificate is the service account's username" (SEI's developer portal).
    common_name_is_username=True,
    username_field="username",
    tracking_header="requesttrackingid",
    # "60 minutes active time to live and 30 minutes inactive" (SEI's authorization guide).
    idle_lifetime=1800,
    invalidate_grant_type="invalidate_token",
)

#: The SEI platform, `/v2/oauth/*`. No document names its host: the gateway's, unless `hosts` says otherwise.
SEI_PLATFORM = Provider(
    name="SEI platform",
    token_url="/v2/oauth/token",
    environments=_SEI_ENVIRONMENTS,
    grants=frozenset({"authorization_code", "client_credentials", "refresh_token", SAML2_BEARER}),
    client_authentication=ClientSecretPost(),
    # A certificate's CN is the account's username, and the platform knows the account by its email address.
    common_name_is_username=False,
    username_field="email",
    end_other_sessions_field="endOtherSessions",
    tracking_header="requesttrackingid",
    authorize_url="/v2/oauth/authorize",
    authorize_scope="ilservices",
    # Its documents write redirect_uri, too; the guide to authorization has this one.
    redirect_field="redirect_url",
    redirect_on_token_call=False,
    # No document speaks of a code challenge.
    takes_pkce=False,
    code_lifetime=20,
    token_info_url="/v2/oauth/tokeninfo",
    # Revocation is documented, its path is not.
    revocation_url=None,
    revocation_refresh_field="refresh_token",
    # "cascade": "true" in the answer: either token takes the other along.
    revocation_cascades=True,
)

#: A plain OAuth 2.0 provider whose tokens are JWTs, `POST /oauth/v2/token`; the hosts are the user's.
OAUTH2 = Provider(
    name="OAuth 2.0 provider",
    token_url="/oauth/v2/token",
    # Its documents know a 401 by its status alone: "on an API call, a bad token".
    bare_401_means_token=True,
)
