@echo off
rem Install what the lock file lists into .venv (once, and again when it changes), then open the window.
rem   launch.bat             open the window          launch.bat --demo [--out DIR]   train and draw once, no window
rem   launch.bat --test      run all tests            other options go to app.py, see launch.bat --help
setlocal
if not exist "%~dp0requirements.txt" (
    echo launch.bat has to lie in the folder of LoRA Studio. To start it from elsewhere, make a shortcut to it.
    pause
    exit /b 1
)
if defined LORA_GUI_HOME call :absolute
rem Where folders that are typed are meant.
set "LORA_GUI_FROM=%CD%"
pushd "%~dp0"

rem What is set for other Pythons would lead ours astray, in the app and in all that it starts.
set "PYTHONPATH=none"
for /f "delims==" %%V in ('set PYTHON') do if /i not "%%V"=="PYTHON_KEYRING_BACKEND" set "%%V="
set "PYTHONNOUSERSITE=1"
set "PY=.venv\Scripts\python.exe"

rem No && and no || below: the cmd of Wine, on which this is tested, runs both sides of either.
rem whether it is a Python that will do
set "FITS=import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) or sys.maxsize < 2**32)"
if not exist "%PY%" goto new
"%PY%" -c "%FITS%" >nul 2>nul
if not errorlevel 1 goto made
:new
set "FOUND="
for %%P in ("py -3.12" "py -3.13" "py -3.11" "py -3.14" "python") do if not defined FOUND call :try %%P
if not defined FOUND (
    echo LoRA Studio needs Python 3.11, 3.12, 3.13 or 3.14 in 64 bits, and found none.
    echo Get Python 3.12 from https://www.python.org/downloads/ , tick "Add python.exe to PATH", and start again.
    pause
    exit /b 1
)
if exist ".venv" rmdir /s /q ".venv"
%FOUND% -m venv .venv
if errorlevel 1 goto unmade

:made
call :ensure requirements installed-requirements
if errorlevel 1 goto failed
set "REST="
if "%~1"=="--demo" goto demo
if "%~1"=="--test" goto test
"%PY%" app.py %*
set "CODE=%errorlevel%"
if not "%CODE%"=="0" pause
exit /b %CODE%

:demo
call :rest %*
"%PY%" -m lora_gui demo --json%REST%
exit /b %errorlevel%

:test
call :rest %*
call :ensure tests\requirements installed-tests-requirements
if errorlevel 1 goto failed
"%PY%" -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder%REST%
exit /b %errorlevel%

rem try COMMAND: whether it is a Python that will do
:try
%~1 -c "import venv, ensurepip; %FITS%" >nul 2>nul
if not errorlevel 1 set "FOUND=%~1"
exit /b 0

rem absolute: LORA_GUI_HOME as it is meant where it was typed
:absolute
if "%LORA_GUI_HOME:~0,1%"=="~" exit /b 0
for %%H in ("%LORA_GUI_HOME:"=%") do set "LORA_GUI_HOME=%%~fH"
exit /b 0

rem rest: all options but the first
:rest
shift
if "%~1"=="" exit /b 0
set REST=%REST% %1
goto rest

rem ensure FILE STAMP: once for each content of FILE.txt and FILE.lock
:ensure
set "WANTED=%TEMP%\lora-studio-%RANDOM%%RANDOM%.txt"
copy /b /y "%~1.txt" + "%~1.lock" "%WANTED%" >nul
if errorlevel 1 exit /b 1
if not exist ".venv\%~2" goto changed
fc /b "%WANTED%" ".venv\%~2" >nul 2>nul
if errorlevel 1 goto changed
del "%WANTED%"
exit /b 0
:changed
echo Installing what %~1.lock lists; the first time this takes some minutes ...
call :install "%~1"
if errorlevel 1 call :install "%~1" without
if errorlevel 1 exit /b 1
copy /b /y "%WANTED%" ".venv\%~2" >nul
if errorlevel 1 exit /b 1
del "%WANTED%"
exit /b 0

rem install FILE [without]: the packages FILE.txt names, in the versions and with the hashes of FILE.lock. uv is one of
rem them. Of the settings of pip and uv only those count that say from where and how to download; all others may put the
rem packages elsewhere, or refuse them. uv takes the build of torch that is made for this computer's card, unless wheels
rem lie at hand that pip was told of. `without` is past a proxy that pip does not know, or that does not answer.
:install
setlocal
set "PIP_DISABLE_PIP_VERSION_CHECK=1"
set "UV_NO_PROGRESS=1"
for /f "delims==" %%V in ('set PIP_') do call :heed %%V
for /f "delims==" %%V in ('set UV_') do call :heed %%V
"%PY%" -m pip config list >".venv\pip-settings" 2>nul
call :conf index-url PIP_INDEX_URL
call :conf extra-index-url PIP_EXTRA_INDEX_URL
call :conf find-links PIP_FIND_LINKS
call :conf no-index PIP_NO_INDEX
call :conf trusted-host PIP_TRUSTED_HOST
call :conf cert PIP_CERT
call :conf proxy PIP_PROXY
set "PIP_CONFIG_FILE=nul"
call :share UV_INDEX_URL PIP_INDEX_URL
call :share UV_EXTRA_INDEX_URL PIP_EXTRA_INDEX_URL
call :share UV_FIND_LINKS PIP_FIND_LINKS
call :share UV_INSECURE_HOST PIP_TRUSTED_HOST
call :share SSL_CERT_FILE PIP_CERT
call :share HTTPS_PROXY PIP_PROXY
call :share PIP_INDEX_URL UV_DEFAULT_INDEX
for /f "tokens=2 delims==:" %%S in ("%PIP_INDEX_URL%") do for %%K in (http https file) do if /i "%%S"=="%%K" call :unnamed
call :share PIP_INDEX_URL UV_INDEX_URL
call :share PIP_FIND_LINKS UV_FIND_LINKS
if defined PIP_EXTRA_INDEX_URL if not defined UV_INDEX_STRATEGY set "UV_INDEX_STRATEGY=unsafe-best-match"
if not defined UV_FIND_LINKS if not defined UV_TORCH_BACKEND set "UV_TORCH_BACKEND=auto"
if "%~2"=="" goto download
if not defined HTTPS_PROXY if not defined HTTP_PROXY if not defined ALL_PROXY exit /b 1
echo That did not work by the proxy that is set; it is tried once more without.
for %%V in (HTTPS_PROXY HTTP_PROXY ALL_PROXY PIP_PROXY) do set "%%V="
:download
call :forget
"%PY%" -c "import importlib.metadata; importlib.metadata.version('pip')" >nul 2>nul
if errorlevel 1 "%PY%" -m ensurepip
"%PY%" -m pip install --quiet --disable-pip-version-check uv -c requirements.txt
if errorlevel 1 exit /b 1
call :put "%~1"
if not errorlevel 1 exit /b 0
call :forget
rem a uv.toml may put the packages elsewhere
set "UV_NO_CONFIG=1"
call :put "%~1"
exit /b %errorlevel%

:put
set "NO_INDEX="
if defined PIP_NO_INDEX set "NO_INDEX= --no-index"
for %%N in (0 false no off) do if /i "%PIP_NO_INDEX%"=="%%N" set "NO_INDEX="
"%PY%" -m uv pip install --quiet --python "%PY%" -r "%~1.txt" -c "%~1.lock"%NO_INDEX%
if errorlevel 1 exit /b 1
"%PY%" -c "import importlib.metadata, re, sys; [importlib.metadata.version(name) for name in re.findall(r'(?m)^(\w[\w.-]*)[^;\n]*$', open(sys.argv[1], encoding='utf-8').read())]" "%~1.txt" 2>nul
exit /b %errorlevel%

rem forget: a package that lacks files, since unpacking it was cut short, counts as installed for pip and uv
:forget
"%PY%" -c "import csv, pathlib, shutil; [shutil.rmtree(one) for one in pathlib.Path('.venv/Lib/site-packages').glob('*.dist-info') if not (one / 'RECORD').is_file() or not all((one.parent / row[0]).is_file() for row in csv.reader((one / 'RECORD').read_text(encoding='utf-8').splitlines()) if row and not row[0].endswith('.pyc'))]"
exit /b 0

rem heed NAME: forget a setting of pip or uv that does not say from where and how to download
:heed
set "NAME=%~1"
set "KIND=%NAME:*_=%"
set "KEEP="
for %%K in (
    INDEX DEFAULT_INDEX EXTRA_INDEX_URL FIND_LINKS NO_INDEX TRUSTED_HOST INSECURE_HOST CERT CLIENT_CERT NATIVE_TLS
    SYSTEM_CERTS KEYRING_PROVIDER CREDENTIALS_DIR PROXY TIMEOUT DEFAULT_TIMEOUT HTTP_TIMEOUT RETRIES HTTP_RETRIES
    OFFLINE CACHE_DIR NO_CACHE NO_CACHE_DIR LINK_MODE CONFIG_FILE NO_CONFIG TORCH_BACKEND
) do if /i "%KIND%"=="%%K" set "KEEP=1"
if /i "%KIND:~0,6%"=="INDEX_" set "KEEP=1"
if /i "%KIND:~0,11%"=="CONCURRENT_" set "KEEP=1"
if not defined KEEP set "%NAME%="
exit /b 0

rem conf KEY NAME: what pip.ini says, as a variable; one that is set already counts more, and [install] more than [global]
:conf
if defined %~2 exit /b 0
set "VALUE="
for %%S in (global install) do for /f "usebackq tokens=1,* delims==" %%A in (".venv\pip-settings") do if "%%A"=="%%S.%~1" set "VALUE=%%B"
if not defined VALUE exit /b 0
set "VALUE=%VALUE:'=%"
set "%~2=%VALUE:\n= %"
exit /b 0

rem share TO FROM: what pip was told, told to uv, and the other way round
:share
if defined %~1 exit /b 0
if not defined %~2 exit /b 0
for /f "tokens=1,* delims==" %%A in ('set %~2') do if /i "%%A"=="%~2" set "%~1=%%B"
exit /b 0

rem unnamed: an index of uv may have its name before it, which pip does not know
:unnamed
for /f "tokens=2,* delims==" %%A in ('set PIP_INDEX_URL') do set "PIP_INDEX_URL=%%B"
exit /b 0

:unmade
echo The folder .venv could not be made in "%CD%".
echo Check that this folder can be written to and that the disk has room (about 8 GB), then start again.
pause
exit /b 1

:failed
echo Installing did not work. Check the internet connection, the free disk space (about 8 GB) and that .venv in this folder can be written to, then start again.
pause
exit /b 1
