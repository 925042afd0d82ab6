-- The error of a user who may not run a command that the script writes with; the words after the command only make
-- it whole. A right may be revoked at any time, and a script whose command is refused keeps what it wrote before it.
-- The rights to KEYS are checked by the server before the script begins, so one of them is enough here.

local function denied(command, ...)
  if not redis.acl_check_cmd(command, KEYS[1], ...) then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. command:lower() .. "' command")
  end
end
