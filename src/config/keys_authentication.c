/* The keys of the Authentication Service. */
#include "config/keys_private.h"

#define OURS(member) AT(struct config, authentication.member)
static const struct key_def password_keys[] =
    {{"memory", SHAPE_SIZE64, OURS(memory), .min = 8 * MB, .max = 1 * GB, .standard = "`19MB`",
      .about = "Memory that the hash of a password (argon2id) takes.", .example = "memory: 64MB"},
     {"passes", SHAPE_NUMBER, OURS(passes), .min = 1, .max = 20, .standard = "`2`",
      .about = "How often that memory is gone through. When memory or passes rise, a password is hashed anew at its "
               "user's next login.",
      .example = "passes: 3"},
     {"concurrent", SHAPE_NUMBER, OURS(concurrent), .min = 1, .max = 64, .standard = "`2`",
      .about = "Hashes under way at the same time: they take that many cores and that much memory at most.",
      .example = "concurrent: 4"},
     {"queue", SHAPE_NUMBER, OURS(queue), .max = 10000, .standard = "`64`",
      .about = "Logins that may wait for it. The next one is told to come again (503).", .example = "queue: 200"},
     END};
static const struct key_map password_map = {.keys = password_keys};

static const struct key_def throttle_keys[] =
    {{"account", SHAPE_CUSTOM, OURS(account), .read = read_rate, .type = "rate", .standard = "`10/m`",
      .about = "Attempts to log in to one account: so many in a second (`s`), minute (`m`) or hour (`h`).",
      .example = "account: 5/m"},
     {"address", SHAPE_CUSTOM, OURS(address), .read = read_rate, .type = "rate", .standard = "`60/m`",
      .about = "Attempts to log in from one address.", .example = "address: 600/m"},
     END};
static const struct key_map throttle_map = {.keys = throttle_keys};

static const struct key_def authentication_keys[] = {
    {"issuer", SHAPE_TEXT, .required = true, OURS(issuer), .check = check_own_issuer,
     .about = "`iss` of the tokens that are issued here: the URL that clients know this gateway by.",
     .example = "issuer: \"https://api.example.com\""},
    {"audience", SHAPE_LIST, OURS(audience), .min = 1, .max = 16, .check = check_long, .standard = "the issuer",
     .about = "`aud` of those tokens.", .example = "audience: [api]"},
    {"access_token", SHAPE_SECONDS, OURS(access_s), .min = 1, .max = DAY_S, .standard = "`10m`",
     .about = "How long an access token is good.", .example = "access_token: 5m"},
    {"refresh_token", SHAPE_SECONDS, OURS(refresh_s), .min = 1, .max = 3650 * DAY_S, .standard = "`30d`",
     .about = "How long a session may lie idle: a refresh token that is not used for so long is none any more.",
     .example = "refresh_token: 8h"},
    {"session", SHAPE_SECONDS, OURS(session_s), .min = 1, .max = 3650 * DAY_S, .standard = "`90d`",
     .about = "How long a session lasts at most, used or not.", .example = "session: 30d"},
    {"algorithm", SHAPE_TEXT, OURS(algorithm), .check = check_signing_algorithm, .standard = "`ES256`",
     .about = "What new signing keys are for: ES256, ES384, RS256, PS256 or EdDSA. Keys there are stay good.",
     .example = "algorithm: EdDSA"},
    {"rotate", SHAPE_SECONDS, OURS(rotate_s), .min = 1, .max = 3650 * DAY_S, .standard = "`30d`",
     .about = "How long a key signs before the next one does.", .example = "rotate: 7d"},
    {"publish_ahead", SHAPE_SECONDS, OURS(publish_ahead_s), .min = 1, .max = 30 * DAY_S,
     .standard = "`1h`, at most half of `rotate`",
     .about = "How long the next key is published before it signs, so that whoever verifies knows it by then.",
     .example = "publish_ahead: 6h"},
    {"password", SHAPE_MAP, .map = &password_map, .about = "What a password costs to try.",
     .example = "password: {memory: 64MB, passes: 3}"},
    {"throttle", SHAPE_MAP, .map = &throttle_map, .about = "How often logging in may be tried.",
     .example = "throttle: {account: 10/m, address: 60/m}"},
    {"user_bases", SHAPE_LIST, OURS(user_bases), .min = 1, .max = 64, .check = check_user_base, .standard = "`[users]`",
     .about = "Separate sets of users. Names of the base `users` are subjects as they are, others carry their base: "
              "`staff/alice`.",
     .example = "user_bases: [users, staff]"},
    {"socket", SHAPE_CUSTOM, AT(struct config, authentication_socket), .read = read_socket, .type = "`unix:/path`",
     .standard = "`authentication.sock` in the data folder",
     .about =
         "Where the Authentication Service of another process listens, for a `sallyport gateway` with another data "
         "folder.",
     .example = "socket: \"unix:/run/sallyport/authentication.sock\""},
    END};
const struct key_map keys_authentication = {.keys = authentication_keys};
